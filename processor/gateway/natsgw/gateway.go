package natsgw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// Gateway asks the connector of one gateway. It may be used concurrently, and needs no closing.
type Gateway struct {
	nc      *nats.Conn
	name    string
	onReply func(protocol.Exchange, protocol.Reply)
}

var _ gateway.Gateway = (*Gateway)(nil)

// New returns the gateway whose connector answers under that name. It fails when there is no
// connection or the name cannot be one; it sends nothing yet.
func New(nc *nats.Conn, name string) (*Gateway, error) {
	if nc == nil {
		return nil, fmt.Errorf("use connector %s: there is no connection to NATS", name)
	}
	if err := protocol.ValidateName(name); err != nil {
		return nil, fmt.Errorf("use a connector: %w", err)
	}
	return &Gateway{nc: nc, name: name}, nil
}

// Observed returns the same gateway with a function that hears of every reply as it came, for tests
// of connectors. The function is called concurrently.
func (g *Gateway) Observed(onReply func(e protocol.Exchange, r protocol.Reply)) *Gateway {
	return &Gateway{nc: g.nc, name: g.name, onReply: onReply}
}

// Do implements gateway.Gateway.
func (g *Gateway) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	return g.exchange(ctx, string(op.Kind), op, protocol.Exchange{OperationID: op.ID})
}

// Lookup implements gateway.Gateway.
func (g *Gateway) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	o := g.exchange(ctx, protocol.EndpointLookup, op, protocol.Exchange{OperationID: op.ID, Lookup: true})
	if o.Kind == messages.OutcomeNotSent {
		o.Kind = messages.OutcomeUnknown // The question was not sent, which says nothing of the operation.
	}
	return o
}

// exchange sends one request and judges its result.
func (g *Gateway) exchange(ctx context.Context, endpoint string, op messages.Operation, e protocol.Exchange) messages.Outcome {
	if ctx.Err() != nil {
		return notSent("gave up before asking: %v", context.Cause(ctx))
	}
	// Connected and nothing else: while it reconnects it would keep the message and send it later,
	// and while it drains the answer would not be heard.
	if status := g.nc.Status(); status != nats.CONNECTED {
		return notSent("the connection to NATS is %s", status)
	}
	request, err := g.request(ctx, endpoint, op)
	if err != nil {
		return notSent("%v", err)
	}
	reply, err := g.nc.RequestMsgWithContext(ctx, request)
	if err != nil {
		return g.failed(ctx, err)
	}
	if len(reply.Data) > protocol.BodyBytesMax {
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf("the answer is longer than %d bytes", protocol.BodyBytesMax)}
	}
	r := protocol.ReadReply(reply.Data)
	r.RetryAfter = protocol.ParseRetryAfter(reply.Header.Get(protocol.HeaderRetryAfter))
	if g.onReply != nil {
		g.onReply(e, r)
	}
	return e.Outcome(r)
}

func (g *Gateway) request(ctx context.Context, endpoint string, op messages.Operation) (*nats.Msg, error) {
	if !known(endpoint) {
		return nil, fmt.Errorf("no operation of kind %q", endpoint)
	}
	body, err := json.Marshal(op)
	if err != nil {
		return nil, fmt.Errorf("encode operation: %w", err)
	}
	request := nats.NewMsg(protocol.Subject(g.name, endpoint))
	request.Data = body
	if deadline, ok := ctx.Deadline(); ok {
		request.Header.Set(protocol.HeaderDeadline, protocol.FormatDeadline(deadline))
	}
	return request, nil
}

// known keeps anything that is not an endpoint out of a subject.
func known(endpoint string) bool {
	for _, e := range protocol.Endpoints() {
		if e == endpoint {
			return true
		}
	}
	return false
}

// failed judges a request that brought no reply.
func (g *Gateway) failed(ctx context.Context, err error) messages.Outcome {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return notSent("no connector of gateway %s is there", g.name)
	case refusedByClient(err):
		return notSent("the connection to NATS did not take the request: %v", err)
	case ctx.Err() != nil:
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf("no answer in time: %v", context.Cause(ctx))}
	default:
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: protocol.Shown(fmt.Sprintf("no answer: %v", err))}
	}
}

// refusedByClient reports whether nats.go turned the message away before anything of it was written
// or kept. Its other errors, and "connection closed" among them, also come when the message was
// sent and the answer can no longer arrive.
func refusedByClient(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionDraining) ||
		errors.Is(err, nats.ErrHeadersNotSupported) || errors.Is(err, nats.ErrBadSubject)
}

func notSent(format string, args ...any) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: protocol.Shown(fmt.Sprintf(format, args...))}
}
