package audit

import (
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
)

// lateEvent is an event that came for the first time behind a newer one of its payment.
type lateEvent struct {
	tenant         string
	version, after int64
	sequence       uint64
}

// judgeLate looks again at the payments whose events did not come in order the first time: after a loss they came once more,
// with everything that follows them.
func (a *busAudit) judgeLate(ctx context.Context, js jetstream.JetStream) error {
	for paymentID, events := range a.late {
		restored, err := cameAgainInOrder(ctx, js, events[0].tenant, paymentID)
		switch {
		case err != nil:
			return err
		case restored:
			a.report.Republished++
			continue
		}
		for _, e := range events {
			a.tally.found(BusOrder, paymentID, "event %d came after event %d, at %d in the stream", e.version, e.after, e.sequence)
		}
	}
	return nil
}

// cameAgainInOrder reports whether the last occurrences of a payment's events are in the order of their versions.
func cameAgainInOrder(ctx context.Context, js jetstream.JetStream, tenant string, paymentID uuid.UUID) (bool, error) {
	filter, err := messages.PaymentEventFilter(tenant, paymentID)
	if err != nil {
		return false, err
	}
	last := map[int64]uint64{} // sequence by version
	err = bus.Scan(ctx, js, bus.ScanFrom{Stream: messages.StreamEvents, Subject: filter}, func(msg *jetstream.RawStreamMsg) bool {
		if e, err := messages.DecodeEventBody(msg.Data); err == nil {
			last[e.Version] = msg.Sequence
		}
		return true
	})
	if err != nil {
		return false, err
	}
	versions := make([]int64, 0, len(last))
	for version := range last {
		versions = append(versions, version)
	}
	slices.Sort(versions)
	return slices.IsSortedFunc(versions, func(a, b int64) int { return cmp.Compare(last[a], last[b]) }), nil
}
