package audit

import (
	"cmp"
	"fmt"
	"maps"
	"sync"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// The invariants that this package looks at, beside those of package store.
const (
	// BusMatchesHistory: every message on the bus is an event of the history, byte for byte, under
	// its own subject, headers and message id.
	BusMatchesHistory books.Invariant = "bus_matches_history"
	// Published: every event of a published type is on the bus, or waits in the outbox.
	Published books.Invariant = "published"
	// BusOrder: the events of a payment came onto the bus in the order of their versions;
	// repetitions do not count.
	BusOrder books.Invariant = "bus_order"
	// CommandsAnswered: every command that the stream still holds, and that the workers' consumer
	// does not wait for any more, was answered or became a dead letter.
	CommandsAnswered books.Invariant = "commands_answered"
	// GatewayOnce: an operation took effect once at most, over all gateways, and a payment is
	// authorized at one of them.
	GatewayOnce books.Invariant = "gateway_once"
	// GatewayRecorded: every effect at a gateway belongs to an operation that is recorded, for the
	// same amount.
	GatewayRecorded books.Invariant = "gateway_recorded"
	// LedgerComplete: every success that is recorded is in the ledger of its gateway.
	LedgerComplete books.Invariant = "ledger_complete"
	// GatewaySums: the sums of a payment agree with those in the ledgers; with an open operation
	// they lie within the amounts reserved for it.
	GatewaySums books.Invariant = "gateway_sums"
	// GatewayLimits: a ledger never shows more captured than authorized, or more refunded than
	// captured.
	GatewayLimits books.Invariant = "gateway_limits"
	// UnknownIsNotFailed: an operation recorded as failed moved no money, and an unknown one was
	// not tried elsewhere.
	UnknownIsNotFailed books.Invariant = "unknown_is_not_failed"
)

// findingsMaxDefault is the number of findings that a report lists by default.
const findingsMaxDefault = 100

// Report counts the comparisons and lists the findings.
type Report struct {
	// Checked counts the checks of each invariant, Violated the checks at which it did not hold.
	Checked  map[books.Invariant]int64 `json:"checked"`
	Violated map[books.Invariant]int64 `json:"violated"`
	// Findings are the first of the violations, as many as the options allow.
	Findings []books.Finding `json:"findings"`
}

// Clean reports whether every invariant held.
func (r *Report) Clean() bool { return len(r.Violated) == 0 }

// AddTo adds the report to one of books.CheckInvariants, whose findings it lists up to findingsMax.
func (r *Report) AddTo(to *books.Report, findingsMax int) {
	for invariant, n := range r.Checked {
		to.Checked[invariant] += n
	}
	for invariant, n := range r.Violated {
		to.Violated[invariant] += n
	}
	room := max(0, findingsMax-len(to.Findings))
	to.Findings = append(to.Findings, r.Findings[:min(room, len(r.Findings))]...)
}

// Merge adds another report, whose findings are listed up to findingsMax in all.
func (r *Report) Merge(other *Report, findingsMax int) {
	for invariant, n := range other.Checked {
		r.Checked[invariant] += n
	}
	for invariant, n := range other.Violated {
		r.Violated[invariant] += n
	}
	room := max(0, findingsMax-len(r.Findings))
	r.Findings = append(r.Findings, other.Findings[:min(room, len(other.Findings))]...)
}

// tally collects a report from several goroutines.
type tally struct {
	findingsMax int

	mu     sync.Mutex
	report Report
}

func newTally(findingsMax int) *tally {
	findingsMax = cmp.Or(findingsMax, findingsMaxDefault)
	return &tally{findingsMax: findingsMax, report: Report{
		Checked: map[books.Invariant]int64{}, Violated: map[books.Invariant]int64{}, Findings: []books.Finding{},
	}}
}

func (t *tally) checked(invariant books.Invariant, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Checked[invariant] += n
}

func (t *tally) found(invariant books.Invariant, paymentID uuid.UUID, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.Violated[invariant]++
	if len(t.report.Findings) < t.findingsMax {
		t.report.Findings = append(t.report.Findings, books.Finding{
			Invariant: invariant, PaymentID: paymentID, Detail: fmt.Sprintf(format, args...),
		})
	}
}

// result is the report so far; the tally may go on.
func (t *tally) result() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.report
	r.Checked, r.Violated = maps.Clone(r.Checked), maps.Clone(r.Violated)
	return r
}
