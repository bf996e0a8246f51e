package chaos

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// ItemName names one invariant of the design.
type ItemName string

// The invariants, in the order of the design.
const (
	NeverTwice         ItemName = "never_twice"
	NeverLost          ItemName = "never_lost"
	UnknownIsNotFailed ItemName = "unknown_is_not_failed"
	WithinLimits       ItemName = "within_limits"
	History            ItemName = "history"
	Published          ItemName = "published"
	Liveness           ItemName = "liveness"
	// AsPlanned is about the plans: each payment ends where its card and its commands lead, with
	// the answers that they justify.
	AsPlanned ItemName = "as_planned"
)

func itemNames() []ItemName {
	return []ItemName{NeverTwice, NeverLost, UnknownIsNotFailed, WithinLimits, History, Published, Liveness, AsPlanned}
}

// itemOf returns the item to which an invariant of the store or of an audit belongs.
func itemOf(invariant books.Invariant) ItemName {
	switch invariant {
	case books.OperationsUnique, audit.GatewayOnce, audit.GatewaySums:
		return NeverTwice
	case books.ClaimsMatchPayments, audit.GatewayRecorded, audit.CommandsAnswered:
		return NeverLost
	case audit.UnknownIsNotFailed, audit.LedgerComplete:
		return UnknownIsNotFailed
	case books.WithinLimits, audit.GatewayLimits:
		return WithinLimits
	case books.OutboxMatchesHistory, books.OutboxParked, audit.BusMatchesHistory, audit.Published, audit.BusOrder:
		return Published
	case books.NothingStuck, books.TimersMatchState, books.OutboxDelayed:
		return Liveness
	case books.VersionsContiguous, books.HistoryReadable, books.StateMatchesHistory, books.ColumnsMatchState:
		return History
	default:
		return History // An invariant newer than this list is about stored data.
	}
}

// Finding is one violation.
type Finding struct {
	// Invariant is the invariant of the check that found the violation.
	Invariant books.Invariant `json:"invariant"`
	PaymentID uuid.UUID       `json:"payment_id,omitzero"`
	Detail    string          `json:"detail"`
}

// Item is one invariant of the design, with the result of its checks.
type Item struct {
	Name     ItemName  `json:"name"`
	Checked  int64     `json:"checked"`
	Violated int64     `json:"violated"`
	Findings []Finding `json:"findings"`
}

// Figures count messages, commands, events and calls of a run.
type Figures struct {
	// Published counts the messages of the client, Acknowledged those that JetStream acknowledged,
	// and Retries the repeated publications after a missing acknowledgement.
	Published    int64 `json:"published"`
	Acknowledged int64 `json:"acknowledged"`
	Retries      int64 `json:"retries"`
	// DuplicatesOnBus counts the duplicates that JetStream recognized, DuplicatesAbsorbed those
	// that Tender did.
	DuplicatesOnBus    int64 `json:"duplicates_on_bus"`
	DuplicatesAbsorbed int64 `json:"duplicates_absorbed"`
	// Accepted, Rejected and DeadLetters count commands by outcome.
	Accepted    int64 `json:"accepted"`
	Rejected    int64 `json:"rejected"`
	DeadLetters int64 `json:"dead_letters"`
	// RefusedAsPlanned counts the refusals that a plan asks for, RefusedForOrder those of commands
	// that were published without waiting for an answer, and RefusedExcused those after a fault.
	RefusedAsPlanned int64 `json:"refused_as_planned"`
	RefusedForOrder  int64 `json:"refused_for_order"`
	RefusedExcused   int64 `json:"refused_excused"`
	// Excused counts the plans that may end otherwise because of a fault.
	Excused int64 `json:"excused"`
	// LostWithStream counts acknowledged commands that a broken disk lost before a worker read
	// them. Only their producers know them.
	LostWithStream int64 `json:"lost_with_stream"`
	// AgedOut counts acknowledged commands that left their stream by age before a worker read them,
	// each of them reported by a dead letter.
	AgedOut int64 `json:"aged_out"`
	// Redeliveries counts deliveries of commands to workers after the first.
	Redeliveries int64 `json:"redeliveries"`
	Payments     int64 `json:"payments"`
	// InReview counts the payments that wait for a person.
	InReview       int64 `json:"in_review"`
	Events         int64 `json:"events"`
	EventsOnBus    int64 `json:"events_on_bus"`
	EventsRepeated int64 `json:"events_repeated"`
	EventsSeen     int64 `json:"events_seen"`
	Operations     int64 `json:"operations"`
	GatewayCalls   int64 `json:"gateway_calls"`
	GatewayEffects int64 `json:"gateway_effects"`
	// ReviewDifferences counts the differences between books and ledgers that an open review
	// excuses.
	ReviewDifferences int64 `json:"review_differences,omitempty"`
}

// Verdict is the result of Check: the verdict on one run.
type Verdict struct {
	OK      bool    `json:"ok"`
	Items   []Item  `json:"items"`
	Figures Figures `json:"figures"`
	// Lost names the commands of Figures.LostWithStream: only the record of their producers does.
	Lost []string `json:"lost,omitempty"`
}

// Item returns the item of that name.
func (v *Verdict) Item(name ItemName) *Item {
	for i := range v.Items {
		if v.Items[i].Name == name {
			return &v.Items[i]
		}
	}
	panic("chaos: there is no item " + string(name))
}

// judge collects the findings of a verdict.
type judge struct {
	Verdict
	findingsMax int
}

func newJudge(findingsMax int) *judge {
	j := &judge{findingsMax: findingsMax}
	for _, name := range itemNames() {
		j.Items = append(j.Items, Item{Name: name, Findings: []Finding{}})
	}
	return j
}

// found records a violation that this package found, under the name of its item.
func (j *judge) found(name ItemName, paymentID uuid.UUID, format string, args ...any) {
	item := j.Item(name)
	item.Violated++
	j.list(item, Finding{Invariant: books.Invariant(name), PaymentID: paymentID, Detail: fmt.Sprintf(format, args...)})
}

func (j *judge) list(item *Item, f Finding) {
	if len(item.Findings) < j.findingsMax {
		item.Findings = append(item.Findings, f)
	}
}

// take adds the report of a check of the store or of an audit.
func (j *judge) take(checked, violated map[books.Invariant]int64, findings []books.Finding) {
	for invariant, n := range checked {
		j.Item(itemOf(invariant)).Checked += n
	}
	for invariant, n := range violated {
		j.Item(itemOf(invariant)).Violated += n
	}
	for _, f := range findings {
		j.list(j.Item(itemOf(f.Invariant)), Finding{Invariant: f.Invariant, PaymentID: f.PaymentID, Detail: f.Detail})
	}
}

func (j *judge) verdict() Verdict {
	j.OK = true
	for i := range j.Items {
		j.OK = j.OK && j.Items[i].Violated == 0
	}
	return j.Verdict
}
