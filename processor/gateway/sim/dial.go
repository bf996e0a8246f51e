package sim

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
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

// dialFaults counts the calls that cannot connect.
type dialFaults struct {
	mu       sync.Mutex
	payments map[uuid.UUID]fault
	calls    map[string]int
}

func newDialFaults() *dialFaults {
	return &dialFaults{payments: make(map[uuid.UUID]fault), calls: make(map[string]int)}
}

// befall reports whether this call cannot connect.
func (d *dialFaults) befall(op messages.Operation) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op.Kind == messages.OperationAuthorize {
		if c, err := cardOf(op.PaymentMethod); err == nil && c.fault.kind == faultDialError {
			d.payments[op.PaymentID] = c.fault
		}
	}
	f, found := d.payments[op.PaymentID]
	if !found || f.on != op.Kind {
		return false
	}
	d.calls[op.ID]++
	return f.befalls(op.Kind, d.calls[op.ID]) == faultDialError
}
