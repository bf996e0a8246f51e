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

// verdict is what becomes of a delivery: with neither a reason nor an error it is acknowledged.
type verdict struct {
	// reason and detail make it a dead letter.
	reason, detail string
	// err hands it back, to be delivered again.
	err error
}

func giveUp(reason, detail string) verdict { return verdict{reason: reason, detail: detail} }
func handBack(err error) verdict           { return verdict{err: err} }

// verdictOn classifies how processing ended.
func verdictOn(err error) verdict {
	switch {
	case err == nil:
		return verdict{}
	case errors.Is(err, store.ErrOtherTenant):
		// To this tenant the payment does not exist, and its id can't be had.
		return giveUp(deadletter.ReasonPaymentNotFound, "no such payment")
	default:
		return handBack(err)
	}
}

// settle is the one place where a delivery is acknowledged, handed back or given up. A plain acknowledgement is enough:
// where it is lost the command is delivered again, which changes nothing.
func (w *Worker) settle(ctx context.Context, msg jetstream.Msg, v verdict) {
	var err error
	switch {
	case v.reason != "":
		err = w.bury(ctx, msg, v)
	case v.err != nil:
		delay := redeliveryDelay(msg)
		if ctx.Err() == nil {
			w.log.Warn("a command could not be handled: handing it back", zap.String("subject", msg.Subject()),
				zap.Duration("again_in", delay), zap.Error(v.err))
		}
		err = msg.NakWithDelay(delay)
	default:
		err = msg.Ack()
	}
	if err != nil {
		w.log.Debug("a command was handled and not settled: it will be delivered again",
			zap.String("subject", msg.Subject()), zap.Error(err))
	}
}

// bury stores a dead letter, and only then gives the original up.
func (w *Worker) bury(ctx context.Context, msg jetstream.Msg, v verdict) error {
	letter, err := deadletter.From(msg, deadletter.Cause{Reason: v.reason, Detail: v.detail, At: w.now()})
	if err != nil {
		return errors.Join(err, msg.NakWithDelay(redeliveryDelay(msg)))
	}
	if err := deadletter.Publish(ctx, w.js, letter); err != nil {
		w.log.Warn("a dead letter could not be stored: handing its original back",
			zap.String("subject", letter.OriginalSubject), zap.String("reason", v.reason), zap.Error(err))
		return msg.NakWithDelay(redeliveryDelay(msg))
	}
	w.log.Warn("a command became a dead letter", zap.String("subject", letter.OriginalSubject),
		zap.String("reason", v.reason), zap.String("detail", v.detail))
	if err := deadletter.EraseOriginal(ctx, w.js, letter); err != nil {
		return errors.Join(err, msg.NakWithDelay(redeliveryDelay(msg)))
	}
	return msg.TermWithReason(deadletter.TerminationReason(v.reason))
}

// returnNow hands back a delivery that was never begun, for another worker to take up at once.
func (w *Worker) returnNow(msg jetstream.Msg) {
	if err := msg.NakWithDelay(10 * time.Millisecond); err != nil {
		w.log.Debug("a command was not begun and not handed back: it will be delivered again", zap.Error(err))
	}
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
