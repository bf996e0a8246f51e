package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// listed are payments for lists: 30 of acme, 5 of globex, three created in each second, the newest
// first.
func (b *bundle) listed() []*payment.Payment {
	b.Helper()
	var all []*payment.Payment
	for i := range 35 {
		cmd := command(newID(), fmt.Sprintf("k%d", i), &messages.Create{
			AmountMinor: int64(100 + i), Currency: "USD", PaymentMethod: "pm",
			CustomerID: fmt.Sprintf("cus_%d", i%4), MerchantReference: fmt.Sprintf("order-%d", i%10),
			CaptureMethod: messages.CaptureManual,
		})
		if i%7 == 0 {
			cmd.Tenant = "globex"
		}
		outcome := succeeded()
		if i%5 == 0 {
			outcome = messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &messages.Decline{
				Code: "lost_card", Class: messages.DeclineNeverRetry,
			}}
		}
		all = append(all, b.Handle(cmd, outcome, start().Add(time.Duration(i/3)*time.Second)).Payment)
	}
	// A payment of refusals only is in no list.
	b.Handle(command(newID(), "refused", &messages.Void{}), succeeded(), start().Add(time.Hour))
	slices.SortFunc(all, func(p, q *payment.Payment) int {
		if c := q.CreatedAt.Compare(p.CreatedAt); c != 0 {
			return c
		}
		return slices.Compare(q.ID[:], p.ID[:])
	})
	return all
}

func TestListIsPagedNewestFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	all := b.listed()
	for name, test := range map[string]struct {
		filter store.ListFilter
		fits   func(*payment.Payment) bool
	}{
		"all tenants":    {store.ListFilter{}, func(*payment.Payment) bool { return true }},
		"tenant":         {store.ListFilter{Tenant: tenant}, func(p *payment.Payment) bool { return p.Tenant == tenant }},
		"no such tenant": {store.ListFilter{Tenant: "missing"}, func(*payment.Payment) bool { return false }},
		"customer": {store.ListFilter{Tenant: tenant, CustomerID: "cus_2"}, func(p *payment.Payment) bool {
			return p.Tenant == tenant && p.CustomerID == "cus_2"
		}},
		"status of all tenants": {store.ListFilter{Status: messages.StatusFailed}, func(p *payment.Payment) bool {
			return p.Status == messages.StatusFailed
		}},
		"reference": {store.ListFilter{Tenant: "globex", MerchantReference: "order-4"}, func(p *payment.Payment) bool {
			return p.Tenant == "globex" && p.MerchantReference == "order-4"
		}},
		"time": {
			store.ListFilter{Tenant: tenant, CreatedFrom: start().Add(2 * time.Second), CreatedTo: start().Add(5 * time.Second)},
			func(p *payment.Payment) bool {
				return p.Tenant == tenant && !p.CreatedAt.Before(start().Add(2*time.Second)) && p.CreatedAt.Before(start().Add(5*time.Second))
			},
		},
		"everything at once": {
			store.ListFilter{Tenant: tenant, CustomerID: "cus_1", Status: messages.StatusAuthorized, CreatedFrom: start()},
			func(p *payment.Payment) bool {
				return p.Tenant == tenant && p.CustomerID == "cus_1" && p.Status == messages.StatusAuthorized
			},
		},
	} {
		want := []uuid.UUID{}
		for _, p := range all {
			if test.fits(p) {
				want = append(want, p.ID)
			}
		}
		for _, limit := range []int{0, 1, 4, 2000} {
			if got := b.listAll(test.filter, limit); !slices.Equal(got, want) {
				t.Errorf("%s in pages of %d: %d payments, want %d in order", name, limit, len(got), len(want))
			}
		}
	}
}

func (b *bundle) listAll(filter store.ListFilter, limit int) []uuid.UUID {
	b.Helper()
	ids := []uuid.UUID{}
	page := store.Page{Limit: limit}
	for {
		listed, err := b.Store.List(b.Context(), filter, page)
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range listed.Payments {
			ids = append(ids, p.ID)
		}
		if listed.Next == "" {
			return ids
		}
		page.After = listed.Next
	}
}

func TestInventedCursorIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, after := range []string{"x", "AAAA", "not base64!", string(make([]byte, 32)), "_____________________________________"} {
		if _, err := b.Store.List(t.Context(), store.ListFilter{}, store.Page{After: after}); !errors.Is(err, store.ErrInvalidCursor) {
			t.Errorf("%q: %v, want ErrInvalidCursor", after, err)
		}
	}
}

func TestPaymentThatIsNotThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.Store.Get(t.Context(), "", newID()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get: %v, want ErrNotFound", err)
	}
	if _, err := b.Store.History(t.Context(), "", newID()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("history: %v, want ErrNotFound", err)
	}
}

func TestRefusalsOfAPaymentThatWasNeverCreated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cmd := command(newID(), "k1", &messages.Void{})
	b.Handle(cmd, succeeded(), start())
	p, err := b.Store.Get(t.Context(), tenant, cmd.PaymentID)
	if err != nil || p.Status != messages.StatusNone {
		t.Fatalf("got %+v, %v; want status none", p, err)
	}
	// It can still be created.
	b.Handle(create(cmd.PaymentID, "k2", ""), succeeded(), start())
	if p, err = b.Store.Get(t.Context(), tenant, cmd.PaymentID); err != nil || p.Status != messages.StatusCaptured {
		t.Errorf("got %+v, %v; want captured", p, err)
	}
	b.WantClean()
}
