package chaos_test

import (
	"os"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/chaos"
)

// The report for a person at the end of a run.
func ExampleReport() {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	report := chaos.Report{
		Seed: 7, Tenants: []string{"acme"}, Began: began, Ended: began.Add(time.Minute), Command: "tenderlab chaos --seed 7",
		Injections: []chaos.Injection{
			{At: began.Add(10 * time.Second), Name: "kill_worker", Detail: "worker 2, SIGKILL", Outcome: "started again"},
			{At: began.Add(20 * time.Second), Name: "nats_restart", Outcome: "back after 5.2s", BringingAbout: 200 * time.Millisecond, Lasting: time.Second, Recovering: 4 * time.Second},
		},
		Drain: &chaos.Drain{Done: true, Took: 1500 * time.Millisecond},
		Verdict: chaos.Verdict{
			Items: []chaos.Item{
				{Name: chaos.NeverTwice, Checked: 812},
				{Name: chaos.NeverLost, Checked: 1650, Violated: 1, Findings: []chaos.Finding{{
					Invariant: "never_lost", Detail: "payments.cmd.acme.void.x (PAYMENTS_CMD 12): it was acknowledged and has no outcome",
				}}},
			},
			Figures: chaos.Figures{Published: 1700, Acknowledged: 1650, Retries: 64, Payments: 300, GatewayCalls: 812, GatewayEffects: 420},
		},
	}
	if err := report.Text(os.Stdout); err != nil {
		panic(err)
	}
	// Output:
	// What was broken, in 1m0s
	//
	// AT    WHAT          DETAIL             OUTCOME
	// +10s  kill_worker   worker 2, SIGKILL  started again
	// +20s  nats_restart                     back after 5.2s
	//
	// What took a second or more
	//
	// TOOK  WHAT          TO BRING IT ABOUT  IT LASTED  UNTIL WELL AGAIN
	// 5.2s  nats_restart  200ms              1s         4s
	//
	// What was checked
	//
	// ITEM         CHECKED  VIOLATED
	// never_twice  812      0
	// never_lost   1650     1
	//
	// never_lost: never_lost
	//   payments.cmd.acme.void.x (PAYMENTS_CMD 12): it was acknowledged and has no outcome
	//
	// Figures
	//
	// messages published  1700  1650 acknowledged, 64 published again for want of it
	// duplicates          0     0 known to JetStream, 0 to Tender
	// commands decided    0     0 accepted, 0 rejected
	// refusals            0     0 as planned, 0 out of turn, 0 after a fault
	// dead letters        0
	// redeliveries        0
	// payments            300   0 wait for a person
	// events              0     0 messages on the bus, 0 repeated; 0 seen by the client
	// operations          0     812 calls to gateways at least, 420 effects
	//
	// at rest after 1.5s
	//
	// seed 7; the same again: tenderlab chaos --seed 7
	// VIOLATED: never_lost (1)
}
