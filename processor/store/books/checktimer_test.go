package books_test

import (
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// The timer of an operation that its gateway is still working on moves without an event. It is
// right within the longest pause of its schedule; any other timer is right at one time only.
func TestOursARescheduledTimerOfAPendingOperationIsRight(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		outcome messages.Outcome
		later   time.Duration
		clean   bool
	}{
		{"pending, some hours later", messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "ch_1", Tries: 1}, 11 * time.Hour, true},
		{"pending, days later", messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "ch_1", Tries: 1}, 3 * 24 * time.Hour, false},
		{"unknown, some hours later", storetest.Unknown(), 11 * time.Hour, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			p := b.Handle(storetest.Create(storetest.NewID(), "k", ""), test.outcome, start()).Payment
			timer := p.Timer(start())
			b.WantClean()
			if err := b.Store.Reschedule(t.Context(), p.Tenant, p.ID, p.Version, payment.Timer{At: timer.At.Add(test.later)}); err != nil {
				t.Fatal(err)
			}
			report := b.Check()
			if report.Clean() != test.clean || !test.clean && report.Violated[books.TimersMatchState] != 1 {
				t.Errorf("clean: %v, want %v: %+v", report.Clean(), test.clean, report.Findings)
			}
		})
	}
}
