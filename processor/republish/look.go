package republish

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// scansMax is how many payments are read from the bus at once, where that is needed.
const scansMax = 8

// look reads the messages that the bus holds of each payment. The latest message under each subject
// says it all of a payment whose events have a subject each, and a thousand of these come with one
// request. A payment with two events of one type, or with a message that is not the expected one,
// is read whole.
func (r *run) look(ctx context.Context, page []books.Published) ([][]onBus, error) {
	info, err := r.stream(ctx)
	if err != nil {
		return nil, err
	}
	recentFrom := info.TimeStamp.Add(-r.window)
	latest, err := r.latest(ctx, page, recentFrom)
	if err != nil {
		return nil, err
	}
	found, errs := make([][]onBus, len(page)), make([]error, len(page))
	var scanning sync.WaitGroup
	free := make(chan struct{}, scansMax)
	for i := range page {
		known, complete := latest.of(page[i])
		if complete {
			found[i] = known
			continue
		}
		free <- struct{}{}
		scanning.Go(func() {
			defer func() { <-free }()
			found[i], errs[i] = r.scan(ctx, page[i], recentFrom)
		})
	}
	scanning.Wait()
	for _, err := range errs { // one is enough to know: they fail together
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// latestMessages are the latest messages by subject.
type latestMessages map[string]onBus

func (r *run) latest(ctx context.Context, page []books.Published, recentFrom time.Time) (latestMessages, error) {
	var subjects []string
	for _, p := range page {
		if eventsOfOwnSubject(p) {
			for _, e := range p.Events {
				subjects = append(subjects, e.Message.Subject)
			}
		}
	}
	found := make(latestMessages, len(subjects))
	err := bus.Latest(ctx, r.JetStream, messages.StreamEvents, subjects, func(msg *jetstream.RawStreamMsg) {
		found[msg.Subject] = newOnBus(msg, recentFrom)
	})
	return found, err
}

// of returns the messages of a payment in the order of the stream, and whether they are all that
// matter.
func (l latestMessages) of(p books.Published) (found []onBus, complete bool) {
	if !eventsOfOwnSubject(p) {
		return nil, false
	}
	for _, e := range p.Events {
		m, there := l[e.Message.Subject]
		if there && m.id != e.Message.ID {
			return nil, false
		}
		if there {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b onBus) int { return cmp.Compare(a.sequence, b.sequence) })
	return found, true
}

// eventsOfOwnSubject reports whether no two events of the payment have the same subject.
func eventsOfOwnSubject(p books.Published) bool {
	seen := make(map[string]struct{}, len(p.Events))
	for _, e := range p.Events {
		seen[e.Message.Subject] = struct{}{}
	}
	return len(seen) == len(p.Events) && p.Unreadable == nil
}

func newOnBus(msg *jetstream.RawStreamMsg, recentFrom time.Time) onBus {
	return onBus{
		id: msg.Header.Get(messages.HeaderMessageID), sequence: msg.Sequence, recent: msg.Time.After(recentFrom), body: msg.Data,
	}
}

func (r *run) scan(ctx context.Context, p books.Published, recentFrom time.Time) ([]onBus, error) {
	filter, err := messages.PaymentEventFilter(p.Tenant, p.PaymentID)
	if err != nil {
		return nil, fmt.Errorf("look for payment %s on the bus: %w", p.PaymentID, err)
	}
	var found []onBus
	from := bus.ScanFrom{Stream: messages.StreamEvents, Subject: filter}
	err = bus.Scan(ctx, r.JetStream, from, func(msg *jetstream.RawStreamMsg) bool {
		found = append(found, newOnBus(msg, recentFrom))
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("look for payment %s on the bus: %w", p.PaymentID, err)
	}
	return found, nil
}
