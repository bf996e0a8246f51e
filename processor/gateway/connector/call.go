package connector

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// taker takes the requests of one endpoint. It is called for one after the other and must not block: what has a place is
// called in a goroutine of its own, and what cannot be called is refused here.
func (c *Connector) taker(endpoint string) micro.Handler {
	stats := c.stats[endpoint]
	return micro.HandlerFunc(func(request micro.Request) {
		op, err := operationOf(endpoint, request.Data())
		if err != nil {
			c.refuse(request, stats, protocol.Problem{Code: protocol.CodeInvalidRequest, Message: protocol.Shown(err.Error())}, 0)
			return
		}
		remaining, err := c.remaining(request.Headers().Get(protocol.HeaderDeadline))
		if err != nil {
			c.refuse(request, stats, protocol.Problem{Code: protocol.CodeNotDone, Message: protocol.Shown(err.Error())}, 0)
			return
		}
		select {
		case c.places <- struct{}{}:
		default:
			full := protocol.Problem{Code: protocol.CodeNotDone, Message: fmt.Sprintf("all %d places of this connector are taken", cap(c.places))}
			c.refuse(request, stats, full, restWhenFull)
			return
		}
		go func() {
			defer func() { <-c.places }()
			c.call(endpoint, op, remaining, request.Reply())
		}()
	})
}

// remaining returns how long the caller still waits.
func (c *Connector) remaining(header string) (time.Duration, error) {
	deadline, err := protocol.ParseDeadline(header)
	if err != nil {
		return 0, err
	}
	if deadline.IsZero() {
		return c.config.CallTimeout, nil
	}
	now := c.config.Now()
	if !deadline.After(now) {
		return 0, fmt.Errorf("the caller waited until %s, and here it is %s",
			protocol.FormatDeadline(deadline), protocol.FormatDeadline(now))
	}
	return min(deadline.Sub(now), c.config.CallTimeout), nil
}

// refuse answers a request that is not handed to the gateway.
func (c *Connector) refuse(request micro.Request, stats *counts, p protocol.Problem, rest time.Duration) {
	stats.refused.Add(1)
	status, _ := p.Code.Status()
	headers := micro.Headers{}
	if seconds := protocol.FormatRetryAfter(rest); seconds != "" {
		headers[protocol.HeaderRetryAfter] = []string{seconds}
	}
	if err := request.Error(strconv.Itoa(status), string(p.Code), protocol.EncodeProblem(p), micro.WithHeaders(headers)); err != nil {
		c.report(fmt.Errorf("refuse a request on %s: %w", request.Subject(), err))
	}
}

// call hands one operation to the gateway and answers with what it says.
func (c *Connector) call(endpoint string, op messages.Operation, remaining time.Duration, replyTo string) {
	stats := c.stats[endpoint]
	stats.underWay.Add(1)
	began := c.config.Now()
	e := protocol.Exchange{OperationID: op.ID, Lookup: endpoint == protocol.EndpointLookup}
	o := c.ask(e.Lookup, op, remaining)
	stats.finished(o.Kind, c.config.Now().Sub(began))
	if err := c.answer(replyTo, e.Encode(o)); err != nil {
		c.report(fmt.Errorf("answer operation %s: %w", op.ID, err))
	}
}

// ask calls the gateway.
func (c *Connector) ask(lookup bool, op messages.Operation, remaining time.Duration) (o messages.Outcome) {
	ctx, cancel := context.WithTimeout(c.calls, remaining)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			if c.config.OnPanic != nil {
				c.config.OnPanic(value, debug.Stack())
			}
			// The value may hold anything, so that only its type is told.
			o = messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf("the connector's gateway panicked with a %T", value)}
		}
	}()
	if lookup {
		return c.config.Gateway.Lookup(ctx, op)
	}
	return c.config.Gateway.Do(ctx, op)
}

// answer publishes a reply. It goes past micro.Request, whose record of what was answered belongs to the goroutine of the
// subscription; the headers are the ones that micro uses.
func (c *Connector) answer(replyTo string, r protocol.Reply) error {
	reply := nats.NewMsg(replyTo)
	reply.Data = r.Body
	if !r.IsAnswer() {
		if p, err := protocol.DecodeProblem(r.Body); err == nil {
			reply.Header.Set(micro.ErrorHeader, string(p.Code))
			reply.Header.Set(micro.ErrorCodeHeader, strconv.Itoa(r.Status))
		}
	}
	if seconds := protocol.FormatRetryAfter(r.RetryAfter); seconds != "" {
		reply.Header.Set(protocol.HeaderRetryAfter, seconds)
	}
	if err := c.nc.PublishMsg(reply); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// counts are what one endpoint did since it was started.
type counts struct {
	underWay, answered, inDoubt, notDone, refused atomic.Int64
	took                                          atomic.Int64 // nanoseconds, over all finished calls
}

func (s *counts) finished(kind messages.OutcomeKind, took time.Duration) {
	s.underWay.Add(-1)
	s.took.Add(int64(took))
	switch kind {
	case messages.OutcomeUnknown:
		s.inDoubt.Add(1)
	case messages.OutcomeNotSent:
		s.notDone.Add(1)
	default:
		s.answered.Add(1)
	}
}

// Stats is what an endpoint did since it was started; `nats micro stats --json` shows it as the endpoint's data. The times that NATS
// itself shows are those of taking a request in, not of the gateway.
type Stats struct {
	// UnderWay counts the calls that the gateway has not answered yet.
	UnderWay int64 `json:"under_way"`
	// Answered, InDoubt and NotDone count the calls by what the gateway proved: what became of the operation, nothing, or that
	// nothing was done.
	Answered int64 `json:"answered"`
	InDoubt  int64 `json:"in_doubt"`
	NotDone  int64 `json:"not_done"`
	// Refused counts the requests that were not handed to the gateway.
	Refused int64 `json:"refused"`
	// AverageMillis is how long the gateway took on average.
	AverageMillis int64 `json:"average_ms"`
}

func (s *counts) snapshot() Stats {
	stats := Stats{
		UnderWay: s.underWay.Load(), Answered: s.answered.Load(), InDoubt: s.inDoubt.Load(), NotDone: s.notDone.Load(),
		Refused: s.refused.Load(),
	}
	if calls := stats.Answered + stats.InDoubt + stats.NotDone; calls > 0 {
		stats.AverageMillis = time.Duration(s.took.Load() / calls).Milliseconds()
	}
	return stats
}
