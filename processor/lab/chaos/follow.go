package chaos

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// Follow notes every event of the record's tenants as it comes, from the beginning of the stream, until the context ends. It finds
// its way back after the bus was away. It fails if the tenants' names are no names.
func Follow(ctx context.Context, js jetstream.JetStream, record *Record, tenants []string, now func() time.Time) error {
	filters := make([]string, len(tenants))
	for i, tenant := range tenants {
		var err error
		if filters[i], err = messages.TenantEventFilter(tenant); err != nil {
			return fmt.Errorf("follow events: %w", err)
		}
	}
	for last := uint64(0); ; {
		last = followOnce(ctx, js, filters, last, func(msg jetstream.Msg) {
			if seen, ok := seenIn(msg, now()); ok {
				record.Seen(seen)
			}
		})
		if !retry.Sleep(ctx, retryPause) {
			return nil
		}
	}
}

// followOnce reads on after a message until something breaks, and returns which message it read last.
func followOnce(
	ctx context.Context, js jetstream.JetStream, filters []string, last uint64, see func(jetstream.Msg),
) uint64 {
	consumer, err := js.OrderedConsumer(ctx, messages.StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: last + 1,
	})
	if err != nil {
		return last
	}
	iterator, err := consumer.Messages()
	if err != nil {
		return last
	}
	defer iterator.Stop()
	defer context.AfterFunc(ctx, iterator.Stop)()
	for {
		msg, err := iterator.Next()
		if err != nil {
			return last
		}
		if meta, err := msg.Metadata(); err == nil {
			last = meta.Sequence.Stream
		}
		see(msg)
	}
}

// seenIn is what a client sees in a message; false if that is no event, which is for the audit of the bus to find.
func seenIn(msg jetstream.Msg, at time.Time) (Seen, bool) {
	s := Seen{ID: msg.Headers().Get(messages.HeaderMessageID), BodyHash: sha256.Sum256(msg.Data()), At: at.UTC()}
	paymentID, version, _ := strings.Cut(s.ID, ":")
	var errID, errVersion, errSubject error
	s.PaymentID, errID = uuid.Parse(paymentID)
	s.Version, errVersion = strconv.ParseInt(version, 10, 64)
	_, s.Type, _, errSubject = messages.ParseEventSubject(msg.Subject())
	return s, errID == nil && errVersion == nil && errSubject == nil
}
