package sim

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// DialErrors shows sim_dial_error in front of a client that reaches the simulator over HTTP: the
// first calls for such an operation are answered with not_sent, and the client never hears of them.
// With @capture and the like it has to have seen the payment's authorization. It may be used
// concurrently.
type DialErrors struct {
	next  gateway.Gateway
	dials *dialFaults
}

var _ gateway.Gateway = (*DialErrors)(nil)

// NewDialErrors puts the fault in front of a gateway.
func NewDialErrors(next gateway.Gateway) *DialErrors {
	return &DialErrors{next: next, dials: newDialFaults()}
}

// Do implements gateway.Gateway.
func (d *DialErrors) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	if d.dials.befall(op) {
		return dialError()
	}
	return d.next.Do(ctx, op)
}

// Lookup implements gateway.Gateway.
func (d *DialErrors) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	return d.next.Lookup(ctx, op)
}

func dialError() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "no connection: refused by the simulated network"}
}

// dialed is a payment: a tenant and an id.
type dialed struct {
	tenant string
	id     uuid.UUID
}

// dialFaults counts the calls that cannot connect.
type dialFaults struct {
	mu       sync.Mutex
	payments map[dialed]fault
	calls    map[protocol.Key]int
}

func newDialFaults() *dialFaults {
	return &dialFaults{payments: make(map[dialed]fault), calls: make(map[protocol.Key]int)}
}

// befall reports whether this call cannot connect.
func (d *dialFaults) befall(op messages.Operation) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op.Kind == messages.OperationAuthorize {
		if c, err := cardOf(op.PaymentMethod); err == nil && c.fault.kind == faultDialError {
			d.payments[dialed{op.Tenant, op.PaymentID}] = c.fault
		}
	}
	f, found := d.payments[dialed{op.Tenant, op.PaymentID}]
	if !found || f.on != op.Kind {
		return false
	}
	d.calls[protocol.KeyOf(op)]++
	return f.befalls(op.Kind, d.calls[protocol.KeyOf(op)]) == faultDialError
}
