package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// awaitLockWaiter returns when a session of the test's database waits for a lock.
func (b *bundle) awaitLockWaiter() {
	b.Helper()
	servers.Eventually(b, "a session waits for a lock", func() bool {
		return b.Count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
	})
}

// Two refunds of 60.00 on a captured 100.00, each handled by a store of its own as in two
// processes.
func TestConcurrentRefundsNeverExceedTheCapture(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stores := []*store.Store{b.Store, b.NewStore(newPool(t, b.URL, asServingRole), store.Config{})}
	const rounds = 60
	for round := range rounds {
		paymentID := newID()
		b.Handle(create(paymentID, fmt.Sprintf("create-%d", round), ""), succeeded(), start())
		answers := make([]answer, len(stores))
		var racing sync.WaitGroup
		for i, s := range stores {
			racing.Go(func() {
				cmd := command(paymentID, fmt.Sprintf("refund-%d-%d", round, i), &messages.Refund{AmountMinor: amount(6000)})
				var err error
				if answers[i], err = handle(t.Context(), s, cmd, succeeded(), start()); err != nil {
					t.Errorf("refund %d: %v", i, err)
				}
			})
		}
		racing.Wait()
		wantOneRefund(t, b, paymentID, answers)
	}
	b.WantClean()
}

func wantOneRefund(t *testing.T, b *bundle, paymentID uuid.UUID, answers []answer) {
	t.Helper()
	refusals := 0
	for _, a := range answers {
		if a.Refusal != nil {
			refusals++
			if a.Refusal.Code != messages.RejectAmountExceedsRefundable {
				t.Errorf("refused with %s", a.Refusal.Code)
			}
		}
	}
	p, err := b.Store.Get(t.Context(), tenant, paymentID)
	if err != nil {
		t.Fatal(err)
	}
	if refusals != 1 || p.RefundedMinor != 6000 || p.Status != messages.StatusPartiallyRefunded {
		t.Errorf("%d refusals, %d refunded, %s; want 1, 6000, partially_refunded", refusals, p.RefundedMinor, p.Status)
	}
}

// The same create under one key for two payments at once: one of them is created, the other
// refused.
func TestConcurrentUseOfAKeyCreatesOnePayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stores := []*store.Store{b.Store, b.NewStore(newPool(t, b.URL, asServingRole), store.Config{})}
	for round := range 40 {
		key := fmt.Sprintf("order-%d", round)
		var racing sync.WaitGroup
		for i := range 4 {
			racing.Go(func() {
				if _, err := handle(t.Context(), stores[i%2], create(newID(), key, ""), succeeded(), start()); err != nil {
					t.Error(err)
				}
			})
		}
		racing.Wait()
		created := b.Count(`SELECT count(*) FROM payments WHERE merchant_reference = $1`, "order "+key)
		refused := b.Count(`SELECT count(*) FROM commands WHERE idempotency_key = $1 AND outcome = 'rejected'`, key)
		if created != 1 || refused != 3 {
			t.Errorf("round %d: %d created and %d refused, want 1 and 3", round, created, refused)
		}
	}
	b.WantClean()
}

// Many workers on few payments, with commands that are repeated, collide and fail.
func TestManyWorkersOnFewPayments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stores := []*store.Store{b.Store, b.NewStore(newPool(t, b.URL, asServingRole), store.Config{BatchMax: 3})}
	payments := make([]uuid.UUID, 6)
	for i := range payments {
		payments[i] = newID()
	}
	var working sync.WaitGroup
	for worker := range 24 {
		working.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 1))
			for range 25 {
				n := random.IntN(len(payments))
				cmd := randomCommand(random, payments[n], n)
				now := start().Add(time.Duration(random.IntN(60)) * time.Second)
				if _, err := handle(t.Context(), stores[worker%2], cmd, randomOutcome(random), now); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	working.Wait()
	b.WantClean()
	if n := b.Count(`SELECT count(*) FROM payments WHERE status <> 'none'`); n == 0 {
		t.Error("nothing was created")
	}
}

// randomCommand draws keys from so few that they are used again, with the same and with other
// bodies.
func randomCommand(random *rand.Rand, paymentID uuid.UUID, n int) messages.Command {
	key := fmt.Sprintf("%d-%d", n, random.IntN(40))
	switch random.IntN(6) {
	case 0, 1:
		return create(paymentID, fmt.Sprintf("create-%d", n), messages.CaptureManualMultiple)
	case 2, 3:
		return command(paymentID, key, &messages.Capture{AmountMinor: amount(int64(1 + random.IntN(3000)))})
	case 4:
		return command(paymentID, key, &messages.Refund{AmountMinor: amount(int64(1 + random.IntN(3000)))})
	default:
		return command(paymentID, key, &messages.Void{})
	}
}

func randomOutcome(random *rand.Rand) messages.Outcome {
	if random.IntN(5) == 0 {
		return unknown()
	}
	return succeeded()
}
