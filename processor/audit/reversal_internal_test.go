package audit

import (
	"testing"
	"time"
)

// A reversal that is too young to be a violation is told, until it is recorded.
func TestOursAYoungReversalIsTold(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		at       time.Time
		recorded int64
		awaited  int64
		clean    bool
	}{
		{"young", lately, 0, 1, true},
		{"young, and recorded", lately, 10, 0, true},
		{"old", lately.Add(-time.Hour), 0, 0, false},
	} {
		p, ledgers := sample()
		entry := reversal(ledgers["a"].Entries[1], 10)
		entry.At = test.at
		ledgers["a"] = Ledger{Entries: append(ledgers["a"].Entries, entry)}
		p.Operations[1].ReversedMinor = test.recorded
		p.CapturedMinor -= test.recorded
		p.ReleasedMinor += test.recorded
		a := &gatewayAudit{tally: newTally(0), books: merge(ledgers, ledgers, lately)}
		a.compare(p, a.books[p.ID])
		if got := a.result(); a.report.Awaited != test.awaited || got.Clean() != test.clean {
			t.Errorf("%s: %d awaited, %+v; want %d, clean: %v", test.name, a.report.Awaited, got.Findings, test.awaited, test.clean)
		}
	}
}
