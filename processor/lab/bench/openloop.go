package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// OpenLoopConfig configures OpenLoop. All fields are required.
type OpenLoopConfig struct {
	PerSecond float64
	For       time.Duration
	// Patience is the limit for the last events.
	Patience time.Duration
	Now      func() time.Time
}

// OpenLoop publishes creates at times that are fixed beforehand, independent of earlier payments.
// For each payment it measures the time from this moment to the arrival of payment.captured at a
// consumer of the stream. The delay of a producer, server or worker that stands still counts, so
// there is no coordinated omission to correct.
func OpenLoop(ctx context.Context, js jetstream.JetStream, c OpenLoopConfig) (Latency, error) {
	l := &openLoop{OpenLoopConfig: c, js: js, histogram: NewHistogram(), complete: make(chan struct{})}
	if err := l.prepare(); err != nil {
		return Latency{}, err
	}
	arriving, err := l.listen(ctx)
	if err != nil {
		return Latency{}, err
	}
	defer arriving.Stop()
	if err := l.publish(ctx); err != nil {
		return Latency{}, err
	}
	if err := l.await(ctx); err != nil {
		return Latency{}, err
	}
	arriving.Stop()
	<-arriving.Closed()
	found := Latency{
		PerSecond: c.PerSecond, Seconds: c.For.Seconds(), Payments: len(l.msgs), Missing: len(l.msgs) - l.histogram.Count(),
	}
	l.histogram.Describe(&found)
	return found, nil
}

type openLoop struct {
	OpenLoopConfig
	js        jetstream.JetStream
	msgs      []*nats.Msg
	place     map[uuid.UUID]int
	began     time.Time // before anything is published
	histogram *Histogram
	arrived   []bool
	complete  chan struct{}
}

// prepare makes all messages beforehand, so the producer only publishes.
func (l *openLoop) prepare() error {
	n := max(1, int(l.PerSecond*l.For.Seconds()))
	l.msgs, l.arrived, l.place = make([]*nats.Msg, n), make([]bool, n), make(map[uuid.UUID]int, n)
	for i := range l.msgs {
		create, err := NewCreate(messages.CaptureAutomatic)
		if err != nil {
			return err
		}
		if l.msgs[i], err = encode(create, l.Now()); err != nil {
			return err
		}
		l.place[create.PaymentID] = i
	}
	l.began = l.Now()
	return nil
}

// due returns the time at which a payment is due.
func (l *openLoop) due(i int) time.Time {
	return l.began.Add(time.Duration(float64(i) / l.PerSecond * float64(time.Second)))
}

func (l *openLoop) listen(ctx context.Context) (jetstream.ConsumeContext, error) {
	events, err := l.js.Stream(ctx, messages.StreamEvents)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", messages.StreamEvents, err)
	}
	filter := messages.EventSubject(messages.Event{Tenant: Tenant, Data: &messages.PaymentCaptured{}})
	consumer, err := l.js.OrderedConsumer(ctx, messages.StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{filter[:len(filter)-len(uuid.Nil.String())] + "*"}, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: events.CachedInfo().State.LastSeq + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("follow stream %s: %w", messages.StreamEvents, err)
	}
	l.began = l.Now()
	arriving, err := consumer.Consume(l.see)
	if err != nil {
		return nil, fmt.Errorf("follow stream %s: %w", messages.StreamEvents, err)
	}
	return arriving, nil
}

// see is called for one message after the other.
func (l *openLoop) see(msg jetstream.Msg) {
	now := l.Now()
	_, _, paymentID, err := messages.ParseEventSubject(msg.Subject())
	if err != nil {
		return // the audit of the bus reports it
	}
	i, ours := l.place[paymentID]
	if !ours || l.arrived[i] {
		return
	}
	l.arrived[i] = true
	l.histogram.Record(now.Sub(l.due(i)))
	if l.histogram.Count() == len(l.msgs) {
		close(l.complete)
	}
}

func (l *openLoop) publish(ctx context.Context) error {
	for i, msg := range l.msgs {
		if wait := l.due(i).Sub(l.Now()); wait > 0 && !retry.Sleep(ctx, wait) {
			return context.Cause(ctx)
		}
		if _, err := l.js.PublishMsgAsync(msg); err != nil {
			return fmt.Errorf("publish at %v/s: %w", l.PerSecond, err)
		}
	}
	return nil
}

// await gives up after Patience: events that did not come count as missing.
func (l *openLoop) await(ctx context.Context) error {
	limit := time.NewTimer(l.Patience)
	defer limit.Stop()
	select {
	case <-l.complete:
	case <-limit.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
