package sim_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

func observed(t *testing.T, o sim.Observer) *sim.Simulator {
	t.Helper()
	s, err := sim.NewObserved(sim.Config{}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestARefusedRecordTakesNoEffect(t *testing.T) {
	t.Parallel()
	var asked int
	s := observed(t, sim.Observer{
		Record: func(sim.Record) error {
			asked++
			return errors.New("the disk is full")
		},
		Tell: func(r sim.Record, _ sim.Manner) <-chan struct{} {
			t.Errorf("a refused record was told: %+v", r)
			return nil
		},
	})
	op := gatewaytest.NewPayment().Charge("pm_card_visa", 1999)
	for range 2 {
		if o := s.Do(t.Context(), op); o.Kind != messages.OutcomeUnknown || !strings.Contains(o.Detail, "the disk is full") {
			t.Errorf("%s (%s), want unknown with the reason", o.Kind, o.Detail)
		}
	}
	gatewaytest.Want(t, s.Lookup(t.Context(), op), messages.OutcomeUnknown)
	if asked != 1 || len(s.Ledger()) != 0 {
		t.Errorf("the observer was asked %d times, and the ledger has %d entries; want 1 and none", asked, len(s.Ledger()))
	}
}

// TestRecordsRestoreASimulator records a reversal and a pending refund, too, on a bubble's clock.
func TestRecordsRestoreASimulator(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var records []sim.Record
		var told []bool // of each record whether it is a reversal
		s := observed(t, sim.Observer{
			Moment: time.Second,
			Record: func(r sim.Record) error {
				records = append(records, r)
				return nil
			},
			Tell: func(r sim.Record, _ sim.Manner) <-chan struct{} {
				told = append(told, r.Entry != nil && r.Entry.Reversal)
				return nil
			},
		})
		p := gatewaytest.NewPayment()
		p.Reference = s.Do(t.Context(), p.Authorize("sim_capture_reversed", 1000)).GatewayReference
		gatewaytest.Want(t, s.Do(t.Context(), p.Capture(600)), messages.OutcomeSucceeded)
		pass(2 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]bool{false, false, true}, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		q := gatewaytest.NewPayment()
		q.Reference = s.Do(t.Context(), q.Charge("pm_card_pendingRefund", 1000)).GatewayReference
		refund := q.Refund(400)
		gatewaytest.Want(t, s.Do(t.Context(), refund), messages.OutcomePending)

		again := newSimulator(t, sim.Config{PendingLookups: -1})
		for _, r := range records {
			if err := again.Restore(r); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(s.Ledger(), again.Ledger()); diff != "" {
			t.Errorf("the ledger changed (-before +after):\n%s", diff)
		}
		if err := again.Restore(records[0]); err == nil {
			t.Error("a record is taken a second time")
		}
		gatewaytest.WantDecline(t, again.Do(t.Context(), p.Capture(401)))
		gatewaytest.Want(t, again.Lookup(t.Context(), refund), messages.OutcomeSucceeded)
	})
}
