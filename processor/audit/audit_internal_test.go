package audit

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// The bits say the same as a plain set would.
func TestSightings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seen, model, latest := newSightings(), map[eventKey]bool{}, map[uuid.UUID]int64{}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			paymentID := uuid.UUID{15: byte(rapid.IntRange(0, 2).Draw(t, "payment"))}
			version := rapid.OneOf(rapid.Int64Range(1, 6), rapid.Int64Range(60, 70), rapid.Int64Range(1, 1<<62)).Draw(t, "version")
			key := eventKey{paymentID, version}
			first, after := seen.see(paymentID, version)
			wantAfter := int64(0)
			if !model[key] && latest[paymentID] > version {
				wantAfter = latest[paymentID]
			}
			if first == model[key] || after != wantAfter || !seen.has(paymentID, version) {
				t.Fatalf("event %d: first %t after %d, want first %t after %d", version, first, after, !model[key], wantAfter)
			}
			model[key], latest[paymentID] = true, max(latest[paymentID], version)
		}
	})
}

// books of one payment of 100, captured in two parts, with a refund; each row changes something.
func TestGatewaysCompared(t *testing.T) {
	t.Parallel()
	compareEach(t, map[string]comparison{
		"all agree": {func(*payment.Payment, map[string]Ledger) {}, "", ""},
		"no record of an effect": {func(_ *payment.Payment, l map[string]Ledger) {
			l["a"].Entries[2].OperationID = "stray"
		}, GatewayRecorded, "stray took effect at a and is not recorded"},
		"recorded elsewhere": {func(p *payment.Payment, _ map[string]Ledger) {
			p.Operations[1].Gateway = "b"
		}, GatewayRecorded, "took effect at a and is recorded at b"},
		"another currency": {func(_ *payment.Payment, l map[string]Ledger) {
			l["a"].Entries[0].Currency = "USD"
		}, GatewayRecorded, "in USD of acme at a"},
		"twice": {func(_ *payment.Payment, l map[string]Ledger) {
			l["b"] = Ledger{Entries: []LedgerEntry{l["a"].Entries[1]}}
		}, GatewayOnce, "took effect 2 times"},
		"authorized at two": {func(_ *payment.Payment, l map[string]Ledger) {
			l["b"] = Ledger{Entries: []LedgerEntry{l["a"].Entries[0]}}
		}, GatewayOnce, "more than one gateway"},
		"another amount": {func(_ *payment.Payment, l map[string]Ledger) {
			l["a"].Entries[1].CapturedMinor = 59
		}, LedgerComplete, "is recorded for 60 and is in the ledger for 59"},
		"another amount, and recorded so": {func(p *payment.Payment, l map[string]Ledger) {
			l["a"].Entries[1].CapturedMinor, p.Operations[1].CapturedMinor, p.CapturedMinor = 59, 59, 59
		}, "", ""},
		"less than is said": {func(_ *payment.Payment, l map[string]Ledger) {
			l["a"].Entries[1].CapturedMinor = 59
		}, GatewaySums, "captured is recorded as 60 with 0 open, and is 59 in the ledgers"},
		// The gateway took more than it was asked for, and its answer will tell.
		"more than is reserved, without an answer yet": {func(p *payment.Payment, _ map[string]Ledger) {
			p.Operations[1].Status, p.Operations[1].CapturedMinor, p.Operations[1].AmountMinor = payment.OperationUnknown, 0, 30
		}, "", ""},
		"more than is reserved": {func(p *payment.Payment, _ map[string]Ledger) {
			p.Operations[1].Status, p.Operations[1].CapturedMinor, p.Operations[1].AmountMinor = payment.OperationFailed, 0, 30
		}, UnknownIsNotFailed, "is recorded as failed and moved 60 at"},
		"unknown, and done": {func(p *payment.Payment, _ map[string]Ledger) {
			p.Operations[1].Status, p.Operations[1].CapturedMinor = payment.OperationUnknown, 0
		}, "", ""},
		"unknown, and not done": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[1].Status, p.Operations[1].CapturedMinor = payment.OperationUnknown, 0
			p.Operations = p.Operations[:2]
			l["a"] = Ledger{Entries: l["a"].Entries[:1]}
		}, "", ""},
		"reviewed": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[1].Review = messages.ReviewContradiction
			l["a"] = Ledger{Entries: append(l["a"].Entries, reversal(l["a"].Entries[1], 10))}
		}, excused + GatewaySums, "captured is recorded as 60 with 0 open, and is 50 in the ledgers"},
		"reviewed for another amount": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[1].Review = messages.ReviewAmount
			l["a"].Entries[1].CapturedMinor = 50
		}, excused + LedgerComplete, "is recorded for 60 and is in the ledger for 50"},
		"processing, and made elsewhere": {func(p *payment.Payment, _ map[string]Ledger) {
			p.Operations[0].Status, p.Operations[0].AuthorizedMinor = payment.OperationPending, 0
			p.Operations = append(p.Operations, payment.Operation{
				ID: "4", Kind: messages.OperationAuthorize, Gateway: "b", Status: payment.OperationSent, AmountMinor: 100,
			})
		}, UnknownIsNotFailed, "authorization 1 at a is pending, and 4 was made at b"},
		"failed, and done": {func(p *payment.Payment, _ map[string]Ledger) {
			p.Operations[2].Status, p.Operations[2].RefundedMinor = payment.OperationFailed, 0
		}, UnknownIsNotFailed, "is recorded as failed and moved 25 at a"},
		"called failed, and booked": {func(p *payment.Payment, _ map[string]Ledger) {
			p.Operations[2].Status = payment.OperationFailed
		}, UnknownIsNotFailed, "is recorded as failed and moved 25 at a"},
		"failed after all": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[2].Status, p.Operations[2].ReversedMinor = payment.OperationFailed, 25
			l["a"] = Ledger{Entries: append(l["a"].Entries, reversal(l["a"].Entries[2], 25))}
		}, "", ""},
		"reversal not recorded": {func(_ *payment.Payment, l map[string]Ledger) {
			l["a"] = Ledger{Entries: append(l["a"].Entries, reversal(l["a"].Entries[1], 10))}
		}, GatewaySums, "captured is recorded as 60 with 0 open, and is 50 in the ledgers"},
		"reversal on its way": {func(_ *payment.Payment, l map[string]Ledger) {
			late := reversal(l["a"].Entries[1], 10)
			late.At = lately
			l["a"] = Ledger{Entries: append(l["a"].Entries, late)}
		}, "", ""},
		"refunded too much": {func(_ *payment.Payment, l map[string]Ledger) {
			l["a"].Entries[2].RefundedMinor = 61
		}, GatewayLimits, "refunded 61 of the 60"},
		"captured too much": {func(_ *payment.Payment, l map[string]Ledger) {
			l["a"].Entries[1].CapturedMinor = 101
		}, GatewayLimits, "captured 101"},
		"authorized too much": {func(_ *payment.Payment, l map[string]Ledger) {
			l["a"].Entries[0].AuthorizedMinor = 101
		}, GatewayLimits, "authorized 101 of 100"},
		"unknown elsewhere": {func(p *payment.Payment, _ map[string]Ledger) {
			p.Operations[0].Status = payment.OperationUnknown
			p.Operations = append(p.Operations, payment.Operation{
				ID: "4", Kind: messages.OperationAuthorize, Gateway: "b", Status: payment.OperationSent, AmountMinor: 100,
			})
		}, UnknownIsNotFailed, "authorization 1 at a is unknown, and 4 was made at b"},
		"challenged": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations = append(p.Operations, payment.Operation{
				ID: "4", Kind: messages.OperationConfirm, Target: "1", Gateway: "a", Status: payment.OperationSucceeded,
				AmountMinor: 100, AuthorizedMinor: 100,
			})
			p.Operations[0].AuthorizedMinor = 0
			l["a"].Entries[0].OperationID, l["a"].Entries[0].Kind = "4", messages.OperationConfirm
		}, "", ""},
	})
}

// Money that moved beyond what may be booked is compared as well: it was left out as long as a
// review was open, and a violation for ever after it.
func TestOursExcessesAreComparedWithTheLedgers(t *testing.T) {
	t.Parallel()
	compareEach(t, map[string]comparison{
		"more than was asked for": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[1].ExcessMinor = 5
			l["a"].Entries[1].CapturedMinor = 65
		}, "", ""},
		"more than was asked for, and given back": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[1].CompensatedMinor = 5
			l["a"].Entries[1].CapturedMinor = 65
			compensate(p, l, "a", "2", amounts{refunded: 5})
		}, "", ""},
		"said to be given back": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[1].CompensatedMinor = 5
			l["a"].Entries[1].CapturedMinor = 65
			compensate(p, l, "a", "2", amounts{refunded: 5})
			l["a"] = Ledger{Entries: l["a"].Entries[:3]}
		}, LedgerComplete, "refund 4 at a is recorded for 5 and is not in the ledger"},
		"said to be an excess": {func(p *payment.Payment, _ map[string]Ledger) {
			p.Operations[1].ExcessMinor = 5
		}, LedgerComplete, "is recorded for 60 beside an excess of 5 and is in the ledger for 60"},
		"more than the excess": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[1].ExcessMinor = 5
			l["a"].Entries[1].CapturedMinor = 66
		}, LedgerComplete, "is recorded for 60 beside an excess of 5 and is in the ledger for 66"},
		"authorized twice, the second an excess": {func(p *payment.Payment, l map[string]Ledger) {
			secondCharge(p, l).ExcessMinor = 100
		}, "", ""},
		"authorized twice, the second unknown to the record": {func(p *payment.Payment, l map[string]Ledger) {
			secondCharge(p, l)
		}, UnknownIsNotFailed, "authorize 0 is recorded as failed and moved 100 at b"},
		"authorized twice, the second released": {func(p *payment.Payment, l map[string]Ledger) {
			secondCharge(p, l).CompensatedMinor = 100
			compensate(p, l, "b", "0", amounts{released: 100})
		}, "", ""},
		"authorized twice, the second released in part": {func(p *payment.Payment, l map[string]Ledger) {
			secondCharge(p, l).CompensatedMinor = 100
			compensate(p, l, "b", "0", amounts{released: 100})
			l["b"].Entries[1].ReleasedMinor = 60
		}, LedgerComplete, "void 4 at b is recorded for 100 and is in the ledger for 60"},
		"a refund reversed by the bank as well": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[1].ReversedMinor, p.ShortfallMinor = 60, 25
			l["a"] = Ledger{Entries: append(l["a"].Entries, reversal(l["a"].Entries[1], 60))}
		}, "", ""},
		"an excess released by the void": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[0].CompensatedMinor = 7
			l["a"].Entries[0].AuthorizedMinor = 107
			compensate(p, l, "a", "1", amounts{released: 47})
			p.Operations[3].Purpose, p.Operations[3].ReleasedMinor = "", 40
		}, "", ""},
		"an excess said to be released by the void": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[0].CompensatedMinor = 7
			l["a"].Entries[0].AuthorizedMinor = 107
			compensate(p, l, "a", "1", amounts{released: 40})
			p.Operations[3].Purpose = ""
		}, GatewaySums, "released is recorded as 47 with 0 open, and is 40 in the ledgers"},
		"an excess released by the last capture": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[0].ExcessMinor = 7
			l["a"].Entries[0].AuthorizedMinor = 107
			p.Operations[1].Final, p.Operations[1].ReleasedMinor = true, 40
			l["a"].Entries[1].ReleasedMinor = 47
		}, "", ""},
		"an excess reversed by the bank": {func(p *payment.Payment, l map[string]Ledger) {
			p.Operations[1].CompensatedMinor = 5
			l["a"].Entries[1].CapturedMinor = 65
			l["a"] = Ledger{Entries: append(l["a"].Entries, reversal(l["a"].Entries[1], 5))}
		}, "", ""},
	})
}

// comparison changes the sample, and says what the comparison finds then.
type comparison struct {
	change func(*payment.Payment, map[string]Ledger)
	want   books.Invariant
	says   string
}

func compareEach(t *testing.T, rows map[string]comparison) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, ledgers := sample()
			row.change(p, ledgers)
			a := &gatewayAudit{tally: newTally(0), books: merge(ledgers, ledgers, lately)}
			a.compare(p, a.books[p.ID])
			got := a.result()
			if row.want == "" && (!got.Clean() || a.report.Differences != 0) {
				t.Errorf("found %+v and excused %+v, want nothing", got.Findings, a.report.Excused)
			}
			if row.want == "" {
				return
			}
			findings := got.Findings
			if invariant, open := strings.CutPrefix(string(row.want), string(excused)); open {
				if !got.Clean() {
					t.Errorf("found %+v, want nothing but what a review excuses", findings)
				}
				findings, row.want = a.report.Excused, books.Invariant(invariant)
			} else if a.report.Differences != 0 {
				t.Errorf("%+v is excused, and no review is open", a.report.Excused)
			}
			for _, f := range findings {
				if f.Invariant == row.want && strings.Contains(f.Detail, row.says) {
					return
				}
			}
			t.Errorf("found %+v, want %s: …%s…", findings, row.want, row.says)
		})
	}
}

// excused marks the invariant of a row whose difference an open review excuses.
const excused books.Invariant = "excused "

// secondCharge puts before the operations of a sample one that gateway b declined, and did.
func secondCharge(p *payment.Payment, l map[string]Ledger) *payment.Operation {
	entry := l["a"].Entries[0]
	entry.OperationID = "0"
	l["b"] = Ledger{Entries: []LedgerEntry{entry}}
	declined := payment.Operation{
		ID: "0", Kind: messages.OperationAuthorize, Gateway: "b", Status: payment.OperationFailed, AmountMinor: 100,
	}
	p.Operations = append([]payment.Operation{declined}, p.Operations...)
	return &p.Operations[0]
}

// compensate gives an excess of an operation back, at its gateway.
func compensate(p *payment.Payment, l map[string]Ledger, gateway, target string, moved amounts) {
	kind := messages.OperationRefund
	if moved.released > 0 {
		kind = messages.OperationVoid
	}
	p.Operations = append(p.Operations, payment.Operation{
		ID: "4", Kind: kind, Target: target, Gateway: gateway, Status: payment.OperationSucceeded,
		Purpose: messages.PurposeCompensate, AmountMinor: moved.released + moved.refunded, ReleasedMinor: moved.released,
		RefundedMinor: moved.refunded,
	})
	entry := l[gateway].Entries[0]
	entry.OperationID, entry.Kind = "4", kind
	entry.AuthorizedMinor, entry.ReleasedMinor, entry.RefundedMinor = 0, moved.released, moved.refunded
	l[gateway] = Ledger{Entries: append(l[gateway].Entries, entry)}
}

// lately is the time from which a reversal may still be on its way.
var lately = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

func sample() (*payment.Payment, map[string]Ledger) {
	id := uuid.UUID{15: 1}
	p := &payment.Payment{
		ID: id, Tenant: "acme", AmountMinor: 100, Currency: "EUR", CaptureMethod: messages.CaptureManualMultiple,
		AuthorizedMinor: 100, CapturedMinor: 60, RefundedMinor: 25, Gateway: "a", // as Apply sums them
		Operations: []payment.Operation{
			{ID: "1", Kind: messages.OperationAuthorize, Gateway: "a", Status: payment.OperationSucceeded, AmountMinor: 100, AuthorizedMinor: 100},
			{ID: "2", Kind: messages.OperationCapture, Target: "1", Gateway: "a", Status: payment.OperationSucceeded, AmountMinor: 60, CapturedMinor: 60},
			{ID: "3", Kind: messages.OperationRefund, Target: "1", Gateway: "a", Status: payment.OperationSucceeded, AmountMinor: 25, RefundedMinor: 25},
		},
	}
	entry := LedgerEntry{Tenant: "acme", PaymentID: id, Currency: "EUR", At: lately.Add(-time.Hour)}
	authorized, captured, refunded := entry, entry, entry
	authorized.OperationID, authorized.Kind, authorized.AuthorizedMinor = "1", messages.OperationAuthorize, 100
	captured.OperationID, captured.Kind, captured.CapturedMinor = "2", messages.OperationCapture, 60
	refunded.OperationID, refunded.Kind, refunded.RefundedMinor = "3", messages.OperationRefund, 25
	return p, map[string]Ledger{"a": {Entries: []LedgerEntry{authorized, captured, refunded}}}
}

func reversal(of LedgerEntry, amount int64) LedgerEntry {
	of.Reversal = true
	if of.Kind == messages.OperationRefund {
		of.RefundedMinor = -amount
		return of
	}
	of.CapturedMinor, of.ReleasedMinor = -amount, amount
	return of
}

// BenchmarkSightings says how much memory a payment takes.
func BenchmarkSightings(b *testing.B) {
	const payments = 1_000_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		seen := newSightings()
		for i := range payments {
			paymentID := uuid.UUID{0: byte(i), 1: byte(i >> 8), 2: byte(i >> 16)}
			seen.see(paymentID, 1)
			seen.see(paymentID, 3)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(seen)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/payments, "B/payment")
}
