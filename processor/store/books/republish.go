package books

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// PublishedRange picks payments by when something happened to them. Its zero value picks all.
type PublishedRange struct {
	// Since and Until bound the time of an event: at Since or later, before Until.
	Since, Until time.Time
	// Payments are the only ones to look at; none means all.
	Payments []uuid.UUID
}

// Published is a payment with every event of it that is published, as the outbox would publish
// them.
type Published struct {
	PaymentID uuid.UUID
	Tenant    string
	// Version is that of the payment.
	Version int64
	Events  []PublishedEvent
	// Unreadable is why the events can't be published by this build; nil if they can.
	Unreadable error
	// Queued are the payment's rows in the outbox, in their order.
	Queued []outbox.Queued
}

// PublishedEvent is an event with its message, whose payload is byte for byte what the history
// holds.
type PublishedEvent struct {
	Version    int64
	OccurredAt time.Time
	Message    outbox.Message
}

// PublishedPage returns the payments of a range with ids above after, at most limit, by id. It
// holds their whole histories in memory, so limit is best a few hundred. What the outbox holds of
// them is read first: an event that is neither there nor on the bus any more was lost.
func PublishedPage(ctx context.Context, db store.DB, r PublishedRange, after uuid.UUID, limit int) ([]Published, error) {
	page, err := publishedPage(ctx, db, r, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read published events after payment %s: %w", after, err)
	}
	return page, nil
}

func publishedPage(ctx context.Context, db store.DB, r PublishedRange, after uuid.UUID, limit int) ([]Published, error) {
	wanted := column(r.Payments, id)
	rows, err := db.Query(ctx, republishPageSQL, id(after), instant(r.Since), instant(r.Until), limit, wanted)
	if err != nil {
		return nil, err
	}
	page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Published, err error) {
		err = row.Scan((*[16]byte)(&p.PaymentID), &p.Tenant, &p.Version)
		return p, err
	})
	if err != nil || len(page) == 0 {
		return nil, err
	}
	byID := make(map[string]*Published, len(page))
	keys := make([]string, len(page))
	for i := range page {
		keys[i] = page[i].PaymentID.String()
		byID[keys[i]] = &page[i]
	}
	queued, err := outbox.QueuedOf(ctx, db, keys)
	if err != nil {
		return nil, err
	}
	for _, q := range queued {
		p := byID[q.OrderingKey]
		p.Queued = append(p.Queued, q)
	}
	return page, readPublished(ctx, db, page, byID)
}

func readPublished(ctx context.Context, db store.DB, page []Published, byID map[string]*Published) error {
	ids := column(page, func(p Published) pgtype.UUID { return id(p.PaymentID) })
	rows, err := db.Query(ctx, republishEventsSQL, ids)
	if err != nil {
		return err
	}
	var e eventRow
	var occurred pgtype.Timestamptz
	_, err = pgx.ForEachRow(rows, []any{
		(*[16]byte)(&e.paymentID), &e.version, &occurred, &e.eventType, &e.traceparent, &e.data,
	}, func() error {
		e.occurredAt = occurred.Time
		p := byID[e.paymentID.String()]
		// An event that was committed since the payment was read is not for this page.
		if e.version <= p.Version && messages.EventType(e.eventType).Published() {
			p.add(&e)
		}
		return nil
	})
	return err
}

// add takes an event with the headers that it was published with. Its body is not encoded anew:
// what is stored is what consumers have seen, also if this build would write them otherwise.
func (p *Published) add(row *eventRow) {
	event, err := messages.DecodeEventBody(row.data)
	if err == nil {
		event.Traceparent = row.traceparent
		var m outbox.Message
		if m.Subject, m.Header, _, err = messages.EncodeEvent(event); err == nil {
			m.ID, m.OrderingKey = messages.EventMessageID(event), event.PaymentID.String()
			m.Payload = append([]byte{}, row.data...)
			p.Events = append(p.Events, PublishedEvent{Version: row.version, OccurredAt: row.occurredAt, Message: m})
			return
		}
	}
	if p.Unreadable == nil {
		p.Unreadable = fmt.Errorf("event %d of payment %s: %w", row.version, row.paymentID, err)
	}
}

// Resend is a payment of which the events from a version on are to be published again, and all that
// are newer.
type Resend struct {
	Published
	From int64
}

// Refused is why Republish left a payment alone.
type Refused string

// The reasons. Both pass by themselves: look at the payment again.
const (
	// RefusedMoved says that something was committed to the payment meanwhile.
	RefusedMoved Refused = "moved"
	// RefusedInFlight says that a relay may be publishing newer events of the payment at this
	// moment.
	RefusedInFlight Refused = "in_flight"
)

// Republish puts the events of payments into the outbox, where the relay finds them, behind the
// rows there: of each payment those from a version on, in order. It returns the payments that it
// left alone, and why. All of the rest is committed, or, with an error, nothing.
//
// The payments are locked meanwhile, so that no event of theirs that is committed later can come
// out earlier. Where newer events already wait in the outbox they are taken out and put behind the
// older ones, unless a relay owns them.
func Republish(ctx context.Context, db store.DB, resends []Resend) (map[uuid.UUID]Refused, error) {
	refused := make(map[uuid.UUID]Refused)
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		versions, err := lockPayments(ctx, tx, resends)
		if err != nil {
			return err
		}
		var msgs []outbox.Message
		var waiting []string
		for i := range resends {
			r := &resends[i]
			if versions[r.PaymentID] != r.Version {
				refused[r.PaymentID] = RefusedMoved
				continue
			}
			again := r.messages()
			msgs = append(msgs, again...)
			if r.anyQueued(again) {
				waiting = append(waiting, r.PaymentID.String())
			}
		}
		owned, err := outbox.Requeue(ctx, tx, msgs, waiting)
		for _, key := range owned {
			refused[uuid.MustParse(key)] = RefusedInFlight
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("republish events of %d payments: %w", len(resends), err)
	}
	return refused, nil
}

func (r *Resend) messages() (again []outbox.Message) {
	for _, e := range r.Events {
		if e.Version >= r.From {
			again = append(again, e.Message)
		}
	}
	return again
}

// anyQueued reports whether any of the messages waits already. What else waits of a payment are
// commands of its timers.
func (r *Resend) anyQueued(again []outbox.Message) bool {
	return slices.ContainsFunc(r.Queued, func(q outbox.Queued) bool {
		return slices.ContainsFunc(again, func(m outbox.Message) bool { return m.ID == q.MessageID })
	})
}

func lockPayments(ctx context.Context, tx pgx.Tx, resends []Resend) (map[uuid.UUID]int64, error) {
	ids := column(resends, func(r Resend) pgtype.UUID { return id(r.PaymentID) })
	rows, err := tx.Query(ctx, republishLockSQL, ids)
	if err != nil {
		return nil, err
	}
	versions := make(map[uuid.UUID]int64, len(resends))
	var paymentID uuid.UUID
	var version int64
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&paymentID), &version}, func() error {
		versions[paymentID] = version
		return nil
	})
	return versions, err
}
