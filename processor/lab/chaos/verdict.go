package chaos

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// ItemName names one of the things that must always hold.
type ItemName string

// What must always hold, in the order of the design.
const (
	NeverTwice         ItemName = "never_twice"
	NeverLost          ItemName = "never_lost"
	UnknownIsNotFailed ItemName = "unknown_is_not_failed"
	WithinLimits       ItemName = "within_limits"
	History            ItemName = "history"
	Published          ItemName = "published"
	Liveness           ItemName = "liveness"
)

func itemNames() []ItemName {
	return []ItemName{NeverTwice, NeverLost, UnknownIsNotFailed, WithinLimits, History, Published, Liveness}
}

// itemOf says under which item a violated invariant of the store or of an audit falls.
func itemOf(invariant books.Invariant) ItemName {
	switch invariant {
	case books.OperationsUnique, audit.GatewayOnce, audit.GatewaySums:
		return NeverTwice
	case books.ClaimsMatchPayments, audit.GatewayRecorded:
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
		return History // One that is newer than this list is about what is stored.
	}
}

// Finding is one violation.
type Finding struct {
	// Invariant is that of the check that found it.
	Invariant books.Invariant `json:"invariant"`
	PaymentID uuid.UUID       `json:"payment_id,omitzero"`
	Detail    string          `json:"detail"`
}

// Item is one of the things that must always hold, and whether it did.
type Item struct {
	Name     ItemName  `json:"name"`
	Checked  int64     `json:"checked"`
	Violated int64     `json:"violated"`
	Findings []Finding `json:"findings"`
}

// Figures say how much there was.
type Figures struct {
	// Published is how many messages the client published, Acknowledged how many of them JetStream stored or had, Retries how often
	// one was published again for want of an acknowledgement.
	Published    int64 `json:"published"`
	Acknowledged int64 `json:"acknowledged"`
	Retries      int64 `json:"retries"`
	// DuplicatesOnBus are the messages that JetStream knew, DuplicatesAbsorbed those that Tender did.
	DuplicatesOnBus    int64 `json:"duplicates_on_bus"`
	DuplicatesAbsorbed int64 `json:"duplicates_absorbed"`
	// Accepted, Rejected and DeadLetters are what became of commands.
	Accepted    int64 `json:"accepted"`
	Rejected    int64 `json:"rejected"`
	DeadLetters int64 `json:"dead_letters"`
	// Redeliveries is how often the workers were given a command beyond the first time.
	Redeliveries int64 `json:"redeliveries"`
	Payments     int64 `json:"payments"`
	// InReview are the payments that wait for a person.
	InReview       int64 `json:"in_review"`
	Events         int64 `json:"events"`
	EventsOnBus    int64 `json:"events_on_bus"`
	EventsRepeated int64 `json:"events_repeated"`
	EventsSeen     int64 `json:"events_seen"`
	Operations     int64 `json:"operations"`
	GatewayCalls   int64 `json:"gateway_calls"`
	GatewayEffects int64 `json:"gateway_effects"`
}

// Verdict is what Check found.
type Verdict struct {
	OK      bool    `json:"ok"`
	Items   []Item  `json:"items"`
	Figures Figures `json:"figures"`
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

// judge collects a verdict.
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

// found notes a violation that this package found itself, under the name of its item.
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

// take takes over what a check of the store or an audit reports.
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
