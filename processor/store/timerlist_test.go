package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// allTimers pages through everything that fits.
func (b *bundle) allTimers(filter store.TimerFilter, limit int) []store.Timer {
	b.Helper()
	var all []store.Timer
	for page := (store.Page{Limit: limit}); ; {
		timers, next, err := b.Store.Timers(b.Context(), filter, page)
		if err != nil || len(timers) > limit {
			b.Fatalf("%d timers, %v", len(timers), err)
		}
		all = append(all, timers...)
		if page.After = next; next == "" {
			return all
		}
	}
}

func TestTimersAreListedInTheOrderInWhichTheyFire(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Three of them fire at the same time, so that the order is not that of time alone.
	b.Exec(`INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at, fired)
		SELECT gen_random_uuid(), CASE WHEN i % 5 = 0 THEN 'stale' ELSE 'due' END, CASE WHEN i % 2 = 0 THEN 'acme' ELSE 'globex' END,
			$1::timestamptz + (i / 3) * interval '1 minute', $1::timestamptz + (i / 3) * interval '1 minute', i % 4
		FROM generate_series(0, 22) i`, start())
	for _, limit := range []int{1, 2, 7, 22, 23, 50} {
		all := b.allTimers(store.TimerFilter{}, limit)
		seen := map[uuid.UUID]bool{}
		for _, timer := range all {
			seen[timer.PaymentID] = true
		}
		sorted := slices.IsSortedFunc(all, func(a, b store.Timer) int { return a.FireAt.Compare(b.FireAt) })
		if len(all) != 23 || len(seen) != 23 || !sorted {
			t.Errorf("pages of %d: %d timers, %d of them different, sorted: %v", limit, len(all), len(seen), sorted)
		}
	}
	for _, test := range []struct {
		filter store.TimerFilter
		want   int
	}{
		{store.TimerFilter{Tenant: "acme"}, 12},
		{store.TimerFilter{Kind: "stale"}, 5},
		{store.TimerFilter{DueBefore: start().Add(2 * time.Minute)}, 6},
		{store.TimerFilter{Tenant: "globex", Kind: "due", DueBefore: start().Add(2 * time.Minute)}, 2},
		{store.TimerFilter{Tenant: "missing"}, 0},
	} {
		if got := b.allTimers(test.filter, 4); len(got) != test.want {
			t.Errorf("%+v: %d timers, want %d", test.filter, len(got), test.want)
		}
	}
	if _, _, err := b.Store.Timers(t.Context(), store.TimerFilter{}, store.Page{After: "nonsense"}); !errors.Is(err, store.ErrInvalidCursor) {
		t.Errorf("nonsense: %v", err)
	}
}

func TestReviewEventsOfManyPayments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []uuid.UUID
	for range 40 {
		paymentID := newID()
		outcome := succeeded()
		outcome.AmountMinor = 1
		b.Handle(create(paymentID, paymentID.String(), messages.CaptureManual), outcome, start())
		ids = append(ids, paymentID)
	}
	fine := b.Sample().Refunded
	events, err := b.Store.ReviewEvents(t.Context(), append(slices.Clone(ids), fine, newID()))
	if err != nil || len(events) != len(ids) {
		t.Fatalf("%d payments, %v", len(events), err)
	}
	for _, paymentID := range ids {
		opened, ok := events[paymentID][0].Data.(*messages.PaymentReviewOpened)
		if len(events[paymentID]) != 1 || !ok || opened.Reason == "" || events[paymentID][0].PaymentID != paymentID {
			t.Errorf("payment %s: %+v", paymentID, events[paymentID])
		}
	}
}
