package bench

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// GatewayConfig configures a Gateway. The zero value answers every call at once with success.
type GatewayConfig struct {
	// Latency is the median latency of an answer, and that of every answer without a Tail.
	Latency time.Duration
	// Tail is the 99th percentile. Latencies have a log-normal distribution up to LatencyMax. 0:
	// none.
	Tail time.Duration
	// Declined is the number of declined authorizations in a thousand, Unknown the number of
	// operations in a thousand without an answer to their first calls.
	Declined, Unknown int
}

// LatencyMax bounds a latency from the tail. It is below the timeout of a call.
const LatencyMax = 5 * time.Second

// unknownCalls is the number of calls of such an operation without an answer: the quick tries of a
// guard.
const unknownCalls = 3

// Gateway answers in this process, and treats an operation the same in every process. It keeps a
// ledger of its effects. Its methods may be called concurrently.
type Gateway struct {
	cfg            GatewayConfig
	calls          atomic.Int64
	inFlight, most atomic.Int64

	mu sync.Mutex
	// asked counts the calls of operations without an answer at first; guarded by mu.
	asked map[string]int
	// effects are the successes in their order, repeated ones included; guarded by mu.
	effects []Effect
}

// Effect is the success of one operation: AmountMinor moved, and was captured as well if Capture.
type Effect struct {
	OperationID string                 `json:"operation_id"`
	Tenant      string                 `json:"tenant"`
	PaymentID   uuid.UUID              `json:"payment_id"`
	Kind        messages.OperationKind `json:"kind"`
	Currency    string                 `json:"currency"`
	AmountMinor int64                  `json:"amount_minor"`
	Capture     bool                   `json:"capture,omitempty"`
}

// NewGateway returns a gateway.
func NewGateway(cfg GatewayConfig) *Gateway { return &Gateway{cfg: cfg, asked: map[string]int{}} }

// Calls returns the number of calls.
func (g *Gateway) Calls() int64 { return g.calls.Load() }

// InFlightMax returns the largest number of concurrent calls.
func (g *Gateway) InFlightMax() int64 { return g.most.Load() }

// Do implements the gateway of the pipeline.
func (g *Gateway) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	defer g.enter()()
	chance := chanceOf(op.ID)
	if wait := g.latency(chance); wait > 0 && !retry.Sleep(ctx, wait) {
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "no answer in time"}
	}
	switch thousandth := int(chance * 1000); {
	case thousandth < g.cfg.Unknown && g.silent(op.ID):
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "the benchmark has it so"}
	case op.Kind == messages.OperationAuthorize && thousandth >= 1000-g.cfg.Declined:
		return messages.Outcome{
			Kind: messages.OutcomeDeclined, Decline: &messages.Decline{Code: "insufficient_funds", Class: messages.DeclineSoft},
		}
	default:
		return g.succeed(op)
	}
}

// succeed keeps the effect of an operation and answers it.
func (g *Gateway) succeed(op messages.Operation) messages.Outcome {
	g.mu.Lock()
	g.effects = append(g.effects, Effect{op.ID, op.Tenant, op.PaymentID, op.Kind, op.Currency, op.AmountMinor, op.Capture})
	g.mu.Unlock()
	return succeeded(op)
}

// Effects returns the ledger: each operation's effect once, since one that is called again is the
// same.
func (g *Gateway) Effects() []Effect {
	g.mu.Lock()
	defer g.mu.Unlock()
	return MergeEffects(g.effects)
}

// MergeEffects joins the ledgers that processes keep of one gateway. An operation that several of
// them answered took effect once: it has one key.
func MergeEffects(ledgers ...[]Effect) []Effect {
	var merged []Effect
	known := map[string]struct{}{}
	for _, ledger := range ledgers {
		for i := range ledger {
			key := ledger[i].Tenant + "\x00" + ledger[i].OperationID
			if _, again := known[key]; !again {
				known[key] = struct{}{}
				merged = append(merged, ledger[i])
			}
		}
	}
	return merged
}

// succeeded is the answer of a gateway that did the whole of what it was asked for.
func succeeded(op messages.Operation) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "ch_" + op.ID, AmountMinor: op.AmountMinor}
}

// silent reports whether an operation still has no answer.
func (g *Gateway) silent(operationID string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked[operationID]++
	return g.asked[operationID] <= unknownCalls
}

// Lookup implements the gateway of the pipeline: an unknown operation has succeeded.
func (g *Gateway) Lookup(_ context.Context, op messages.Operation) messages.Outcome {
	defer g.enter()()
	return g.succeed(op)
}

func (g *Gateway) enter() (leave func()) {
	g.calls.Add(1)
	now := g.inFlight.Add(1)
	for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
	return func() { g.inFlight.Add(-1) }
}

// latency is log-normal: at a chance of 0.5 it is Latency, at 0.99 it is Tail.
func (g *Gateway) latency(chance float64) time.Duration {
	if g.cfg.Latency == 0 || g.cfg.Tail == 0 {
		return g.cfg.Latency
	}
	const deviationsAt99 = 2.3263478740408408
	deviations := math.Sqrt2 * math.Erfinv(2*chance-1)
	growth := math.Log(float64(g.cfg.Tail)/float64(g.cfg.Latency)) / deviationsAt99
	return min(time.Duration(float64(g.cfg.Latency)*math.Exp(growth*deviations)), LatencyMax)
}

// chanceOf returns a number between 0 and 1, both excluded, that is fixed for the operation.
func chanceOf(operationID string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(operationID)) // a hash.Hash never returns an error
	mixed := h.Sum64()
	mixed = (mixed ^ mixed>>33) * 0xff51afd7ed558ccd // FNV leaves the upper bits of similar texts alike
	mixed ^= mixed >> 33
	const places = 1 << 53
	return (float64(mixed>>11) + 0.5) / places
}

// String describes the gateway in a few words.
func (c GatewayConfig) String() string {
	switch {
	case c.Latency == 0:
		return "at once"
	case c.Tail == 0:
		return c.Latency.String()
	default:
		return fmt.Sprintf("%s, p99 %s", c.Latency, c.Tail)
	}
}
