package worker_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

// outage is a gateway that cannot be reached while it is down. It counts every call.
type outage struct {
	gateway.Gateway
	down  atomic.Bool
	calls atomic.Int64
}

func (o *outage) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	o.calls.Add(1)
	if o.down.Load() {
		return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "no connection"}
	}
	return o.Gateway.Do(ctx, op)
}

const (
	outagePayments = 60
	tripAfter      = 5
	probesMax      = 2
	openFor        = 5 * time.Second
)

// tripping is a guard whose breaker opens after a few failures. reopened counts how often it let
// probes through.
func tripping(t *testing.T, g gateway.Gateway, reopened *atomic.Int64) *gateway.Guard {
	t.Helper()
	guard, err := gateway.NewGuard("primary", g, gateway.Settings{
		Retry:   gateway.Retry{TriesMax: 1},
		Breaker: gateway.Breaker{FailureRatio: 0.5, RequestsMin: tripAfter, Window: time.Minute, OpenFor: openFor, ProbesMax: probesMax},
		OnStateChange: func(_ string, _, to gateway.State) {
			if to == gateway.StateHalfOpen {
				reopened.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// withGateway makes workers call one guard.
func withGateway(t *testing.T, guard *gateway.Guard) func(*worker.Parts, *worker.Config) {
	t.Helper()
	set, err := gateway.NewSet(guard)
	if err != nil {
		t.Fatal(err)
	}
	return func(p *worker.Parts, _ *worker.Config) { p.Gateways = set }
}

// TestAnOutageParksPaymentsAndNothingIsLost takes the gateway away and gives it back.
func TestAnOutageParksPaymentsAndNothingIsLost(t *testing.T) {
	t.Parallel()
	gone := &outage{}
	gone.down.Store(true)
	s := setup(t)
	gone.Gateway = s.sim
	var reopened atomic.Int64
	guard := tripping(t, gone, &reopened)
	s.worker(withGateway(t, guard))

	// The first few find out, and try again.
	ids := s.creates(tripAfter)
	servers.Eventually(t, "the breaker opens", func() bool { return guard.State() == gateway.StateOpen })
	s.settled()
	finding := gone.calls.Load()

	// The others are parked, each with an event, and the gateway sees none of them but as probes.
	parked := s.creates(outagePayments)
	s.settled()
	due := s.dueTimes(parked)
	ids = append(ids, parked...)
	for _, id := range ids {
		if got := types(s.history(id)); !slices.Contains(got, messages.EventPaymentParked) {
			t.Fatalf("payment %s has the events %v, want it parked", id, got)
		}
	}
	gone.down.Store(false)
	whileDown := gone.calls.Load()
	if most := finding + probesMax*reopened.Load(); whileDown > most {
		t.Errorf("the gateway was called %d times while it was down, want %d at most", whileDown, most)
	}
	if n := len(s.sim.Snapshot().Operations); n != 0 {
		t.Errorf("the simulator saw %d operations while it was down", n)
	}
	comesBackSpreadOut(t, due)

	// It is back: every payment is charged once.
	servers.Eventually(t, "every payment is captured", func() bool {
		return !slices.ContainsFunc(ids, func(id uuid.UUID) bool { return s.get(id).Status != messages.StatusCaptured })
	})
	if guard.State() != gateway.StateClosed {
		t.Errorf("the breaker is %s, want closed: the gateway is back", guard.State())
	}
	if entries := s.sim.Ledger(); len(entries) != len(ids) {
		t.Errorf("the gateway did %d things for %d payments", len(entries), len(ids))
	}
	s.attemptsAreCalls(ids, gone.calls.Load())
	s.settled()
	s.verify()
}

// creates publishes so many creates of payments that nothing is wrong with.
func (s *system) creates(n int) (ids []uuid.UUID) {
	s.t.Helper()
	for range n {
		id := newID()
		s.publish(id, "", create("pm_card_visa"))
		ids = append(ids, id)
	}
	return ids
}

// dueTimes are when payments want to be looked at again, as it is in the database.
func (s *system) dueTimes(ids []uuid.UUID) []time.Time {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), "SELECT due_at FROM timers WHERE kind = 'due' AND payment_id = ANY($1) ORDER BY due_at", ids)
	if err != nil {
		s.t.Fatal(err)
	}
	times, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		s.t.Fatal(err)
	}
	return times
}

// comesBackSpreadOut holds that payments which one outage has parked don't come back in one moment:
// their timers, up to a quarter apart, are nowhere crowded.
func comesBackSpreadOut(t *testing.T, due []time.Time) {
	t.Helper()
	if len(due) != outagePayments {
		t.Fatalf("%d timers, want one for each payment", len(due))
	}
	first, last := due[0], due[len(due)-1]
	if spread := last.Sub(first); spread < openFor/50 {
		t.Fatalf("the timers of %d payments lie within %s", len(due), spread)
	}
	const parts = 8
	var crowd [parts]int
	for _, at := range due {
		crowd[min(int(at.Sub(first)*parts/last.Sub(first)), parts-1)]++
	}
	if most := slices.Max(crowd[:]); most > len(due)/2 {
		t.Errorf("%d of %d payments come back within an eighth of the time: %v", most, len(due), crowd)
	}
}

// attemptsAreCalls holds that a refusal by the breaker is not counted as a call: the payments'
// histories know as many calls as the gateway.
func (s *system) attemptsAreCalls(ids []uuid.UUID, calls int64) {
	s.t.Helper()
	var tries int64
	for _, id := range ids {
		parked := 0
		for _, e := range s.history(id) {
			if e.Type() == messages.EventPaymentParked {
				parked++
			}
		}
		if parked != 1 {
			s.t.Errorf("payment %s was announced as parked %d times, want once", id, parked)
		}
		tries += int64(s.get(id).Operations[0].Tries)
	}
	if tries != calls {
		s.t.Errorf("the payments know of %d calls, the gateway of %d", tries, calls)
	}
}

// TestAGatewayThatAsksForRestIsLeftAlone holds that one 429 keeps all payments away for as long as
// it says, and does them no harm.
func TestAGatewayThatAsksForRestIsLeftAlone(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64 // by how much the test's clock is ahead, in nanoseconds
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s := setup(t, func(s *system) { s.now = clock })
	var calls atomic.Int64
	busyOnce := gatewayFunc(func(ctx context.Context, op messages.Operation) messages.Outcome {
		if calls.Add(1) == 1 {
			return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "too many requests", RetryAfter: time.Minute, Rest: messages.RestGateway}
		}
		return s.sim.Do(ctx, op)
	})
	guard, err := gateway.NewGuard("primary", busyOnce, gateway.Settings{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	s.worker(withGateway(t, guard))
	ids := s.creates(1)
	s.settled()
	ids = append(ids, s.creates(30)...)
	s.settled()
	for _, id := range ids[1:] {
		got := types(s.history(id))
		if !slices.Contains(got, messages.EventPaymentParked) || slices.Contains(got, messages.EventPaymentOutcomeUnknown) {
			t.Errorf("payment %s has the events %v, want it parked: it was never sent", id, got)
		}
	}
	if got := calls.Load(); got != 1 {
		t.Errorf("the gateway was called %d times, want once: it had asked to be left alone", got)
	}

	ahead.Add(int64(2 * time.Minute))
	s.passTime(2 * time.Minute)
	servers.Eventually(t, "every payment is captured", func() bool {
		return !slices.ContainsFunc(ids, func(id uuid.UUID) bool { return s.get(id).Status != messages.StatusCaptured })
	})
	if entries := s.sim.Ledger(); len(entries) != len(ids) {
		t.Errorf("the gateway did %d things for %d payments", len(entries), len(ids))
	}
	s.settled()
	s.verify()
}
