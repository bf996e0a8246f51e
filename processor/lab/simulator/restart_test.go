package simulator_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

func TestJournalSurvives(t *testing.T) {
	t.Parallel()
	for _, toDisk := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "ledger.jsonl")
		config := simulator.Config{Journal: path, Sync: toDisk, Config: sim.Config{PendingLookups: -1}}
		before := newSimulator(t, config)
		p, q := gatewaytest.NewPayment(), gatewaytest.NewPayment()
		authorize := p.Authorize("pm_card_pendingRefund", 10000)
		answer := before.Do(t.Context(), authorize)
		p.Reference = answer.GatewayReference
		gatewaytest.Want(t, before.Do(t.Context(), p.Capture(6000)), messages.OutcomeSucceeded)
		refund, decline := p.Refund(5000), q.Charge("pm_card_visa_chargeDeclined", 100)
		gatewaytest.Want(t, before.Do(t.Context(), refund), messages.OutcomePending)
		gatewaytest.WantDecline(t, before.Do(t.Context(), decline))
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		// The record that was being written when the machine died.
		appendTo(t, path, `{"operation":{"operation_id":"`+strings.Repeat("x", 5000))

		after := newSimulator(t, config)
		if diff := cmp.Diff(before.Ledger(), after.Ledger()); diff != "" {
			t.Errorf("the ledger changed (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(answer, after.Do(t.Context(), authorize)); diff != "" {
			t.Errorf("the answer changed (-before +after):\n%s", diff)
		}
		gatewaytest.WantDecline(t, after.Do(t.Context(), decline))
		gatewaytest.WantDecline(t, after.Do(t.Context(), p.Refund(1001)))
		gatewaytest.WantDecline(t, after.Do(t.Context(), p.Capture(4001)))
		gatewaytest.Want(t, after.Lookup(t.Context(), refund), messages.OutcomeSucceeded)
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
		if kept, err := os.ReadFile(path); err != nil || !bytes.HasSuffix(kept, []byte("\n")) {
			t.Errorf("the journal does not end with a whole record (%v)", err)
		}
		again := newSimulator(t, config)
		if total, _ := again.Snapshot().Payment(p.ID()); total.CapturedMinor != 6000 || total.RefundedMinor != 5000 {
			t.Errorf("after two restarts the ledger says %+v", total)
		}
	}
}

func TestBrokenJournalIsRefused(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"not JSON":                 "rubbish\n",
		"a gap":                    `{"operation":{"operation_id":"x","kind":"authorize"},"answer":{"operation_id":"x","outcome":"succeeded"},"entry":{"sequence":7}}` + "\n",
		"a missing authorization":  `{"operation":{"operation_id":"x","kind":"capture"},"answer":{"operation_id":"x","outcome":"succeeded"}}` + "\n",
		"an empty line":            "\n",
		"a line of something else": `["ledger"]` + "\n",
	} {
		path := filepath.Join(t.TempDir(), "ledger.jsonl")
		appendTo(t, path, line)
		if s, err := simulator.New(simulator.Config{Journal: path}); err == nil {
			t.Errorf("a journal with %s is taken", name)
			_ = s.Close()
		}
	}
	if _, err := simulator.New(simulator.Config{Journal: t.TempDir()}); err == nil {
		t.Error("a folder is taken as journal")
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}
