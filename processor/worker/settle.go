package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// errPanic stands for a panic in a handler, which has been logged with its stack.
var errPanic = errors.New("the handler panicked")

// disposition is the end of a delivery: with neither a reason nor an error it is acknowledged.
type disposition struct {
	// reason and detail make it a dead letter.
	reason, detail string
	// err hands it back, to be delivered again.
	err error
}

func giveUp(reason, detail string) disposition { return disposition{reason: reason, detail: detail} }
func handBack(err error) disposition           { return disposition{err: err} }

// dispositionOf classifies how processing ended.
func dispositionOf(err error) disposition {
	switch {
	case err == nil:
		return disposition{}
	case errors.Is(err, store.ErrOtherTenant):
		// The payment id belongs to another tenant.
		return giveUp(deadletter.ReasonPaymentNotFound, "no such payment")
	default:
		return handBack(err)
	}
}

// settle is the one place where a delivery is acknowledged, handed back or given up. A plain
// acknowledgement is enough: if it is lost, JetStream delivers the command again, which changes
// nothing.
func (h *handling) settle(ctx context.Context, d disposition) {
	var err error
	switch {
	case d.reason != "":
		err = h.bury(ctx, d)
	case d.err != nil:
		delay := redeliveryDelay(h.msg)
		if ctx.Err() == nil {
			h.log.Warn("cannot handle a command; handing it back", zap.String("subject", h.msg.Subject()),
				zap.Duration("again_in", delay), zap.Error(d.err))
		}
		err = h.msg.NakWithDelay(delay)
	default:
		err = h.msg.Ack()
	}
	if err == nil && d.err == nil && h.again {
		err = h.store.EndRedelivery(ctx, h.redelivery)
	}
	if err != nil {
		h.log.Debug("cannot settle a delivery; it will come again",
			zap.String("subject", h.msg.Subject()), zap.Error(err))
	}
}

// bury stores a dead letter, and only then gives the original up.
func (h *handling) bury(ctx context.Context, d disposition) error {
	letter, err := deadletter.From(h.msg, deadletter.Cause{Reason: d.reason, Detail: d.detail, At: h.now()})
	if err != nil {
		return errors.Join(err, h.msg.NakWithDelay(redeliveryDelay(h.msg)))
	}
	if err := deadletter.Publish(ctx, h.js, letter); err != nil {
		h.log.Warn("cannot store a dead letter; handing its original back",
			zap.String("subject", letter.OriginalSubject), zap.String("reason", d.reason), zap.Error(err))
		return h.msg.NakWithDelay(redeliveryDelay(h.msg))
	}
	h.log.Warn("a command became a dead letter", zap.String("subject", letter.OriginalSubject),
		zap.String("reason", d.reason), zap.String("detail", d.detail))
	if err := deadletter.EraseOriginal(ctx, h.js, letter); err != nil {
		return errors.Join(err, h.msg.NakWithDelay(redeliveryDelay(h.msg)))
	}
	return h.msg.TermWithReason(deadletter.TerminationReason(d.reason))
}

// redeliveryDelay doubles with each delivery from one second to a minute, with jitter.
func redeliveryDelay(msg jetstream.Msg) time.Duration {
	delay := time.Second
	if meta, err := msg.Metadata(); err == nil {
		delay <<= min(meta.NumDelivered-1, 6)
	}
	delay = min(delay, time.Minute)
	return delay/2 + rand.N(delay) //nolint:gosec // spreading load, not keeping a secret
}
