package books

import (
	"time"

	"github.com/google/uuid"
)

// Invariant names one thing that must hold of what is stored.
type Invariant string

// The invariants that CheckInvariants looks at.
const (
	// VersionsContiguous: a payment's events are numbered from 1 without gaps, up to the payment's
	// version.
	VersionsContiguous Invariant = "versions_contiguous"
	// HistoryReadable: every event decodes, says the same as its row, and can follow those before
	// it.
	HistoryReadable Invariant = "history_readable"
	// StateMatchesHistory: folding a payment's events gives its state exactly.
	StateMatchesHistory Invariant = "state_matches_history"
	// HashChain: every event carries the hash of the one before it, and the state that of the last.
	HashChain Invariant = "hash_chain"
	// CheckpointsMatchHistory: the checkpoints follow each other without a gap, and the history
	// they cover is what it was when they were taken.
	CheckpointsMatchHistory Invariant = "checkpoints"
	// CheckpointsPublished: the checkpoints on the bus are those in the database. A caller that
	// knows the bus checks that, see package checkpoint.
	CheckpointsPublished Invariant = "checkpoints_published"
	// ColumnsMatchState: the columns of the read model are those that follow from the state.
	ColumnsMatchState Invariant = "columns_match_state"
	// WithinLimits: captured, capturing and released stay within authorized; refunded and refunding
	// within captured.
	WithinLimits Invariant = "within_limits"
	// TimersMatchState: a payment has a timer exactly if its state asks for one, for the time it
	// asks for.
	TimersMatchState Invariant = "timers_match_state"
	// NothingStuck: no call to a gateway has been without an answer, and no timer without effect,
	// for too long.
	NothingStuck Invariant = "nothing_stuck"
	// ClaimsMatchPayments: every claimed key leads to the event and the operation that answered its
	// command.
	ClaimsMatchPayments Invariant = "claims_match_payments"
	// OperationsUnique: no operation is there twice, and none was started by two commands.
	OperationsUnique Invariant = "operations_unique"
	// OutboxMatchesHistory: what is about to be published as an event is in the history.
	OutboxMatchesHistory Invariant = "outbox_matches_history"
	// OutboxParked: the outbox holds no row that can't be published.
	OutboxParked Invariant = "outbox_parked"
	// OutboxDelayed: the outbox holds no row that has been waiting for too long.
	OutboxDelayed Invariant = "outbox_delayed"
)

// Finding is one violation of an invariant.
type Finding struct {
	Invariant Invariant `json:"invariant"`
	PaymentID uuid.UUID `json:"payment_id"`
	Detail    string    `json:"detail"`
}

// Report is the result of CheckInvariants.
type Report struct {
	// At is the moment that the ages were taken at.
	At time.Time `json:"at"`
	// Snapshots are the moments that the data was read as of: more than one if the check was
	// interrupted and resumed, so that what changed between them may have been missed.
	Snapshots []time.Time `json:"snapshots"`
	// Payments, Events, Claims, OutboxRows and Checkpoints are how many were checked.
	Payments    int64 `json:"payments"`
	Events      int64 `json:"events"`
	Claims      int64 `json:"claims"`
	OutboxRows  int64 `json:"outbox_rows"`
	Checkpoints int64 `json:"checkpoints"`
	// Checked is how often each invariant was checked, Violated how often it did not hold.
	Checked  map[Invariant]int64 `json:"checked"`
	Violated map[Invariant]int64 `json:"violated"`
	// Findings are the first of the violations, at most CheckOptions.FindingsMax.
	Findings []Finding `json:"findings"`
}

// Clean reports whether every invariant held.
func (r *Report) Clean() bool { return len(r.Violated) == 0 }

// Add counts checks of an invariant that were made elsewhere, and what they found.
func (r *Report) Add(invariant Invariant, checked int64, findings ...Finding) {
	r.Checked[invariant] += checked
	for _, f := range findings {
		r.Violated[f.Invariant]++
		r.Findings = append(r.Findings, f)
	}
}

// add takes over what one worker found in one piece of work.
func (r *Report) add(t *tally, findingsMax int) {
	r.Payments += t.payments
	r.Events += t.events
	r.Claims += t.claims
	r.OutboxRows += t.outboxRows
	r.Checkpoints += t.checkpoints
	for invariant, n := range t.checked {
		r.Checked[invariant] += n
	}
	for _, f := range t.findings {
		r.Violated[f.Invariant]++
		if len(r.Findings) < findingsMax {
			r.Findings = append(r.Findings, f)
		}
	}
}

// tally is what one worker finds in one piece of work.
type tally struct {
	// done is what the piece adds to the progress of its pass.
	done                                  int64
	payments, events, timers, checkpoints int64
	claims, outboxRows                    int64
	checked                               map[Invariant]int64
	findings                              []Finding
}

func newTally() *tally { return &tally{checked: map[Invariant]int64{}} }

// check counts one check of an invariant; problem is "" if it held.
func (t *tally) check(invariant Invariant, paymentID uuid.UUID, problem string) {
	t.checked[invariant]++
	t.report(invariant, paymentID, problem)
}

func (t *tally) report(invariant Invariant, paymentID uuid.UUID, problem string) {
	if problem != "" {
		t.findings = append(t.findings, Finding{Invariant: invariant, PaymentID: paymentID, Detail: problem})
	}
}
