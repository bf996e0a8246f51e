package chaos_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/chaos"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// A run with the bus going away in the middle of it, and with a part of it published again when
// JetStream has forgotten it.
func TestRunIsJudged(t *testing.T) {
	t.Parallel()
	s := setup(t, 300)
	began, done := time.Now(), make(chan struct{})
	go func() {
		defer close(done)
		s.workload.Run(t.Context())
	}()
	servers.Eventually(t, "a part of the commands is published", func() bool { return s.record.Totals().Acknowledged > 300 })
	s.bus.Restart(t)
	<-done
	s.await()
	before := s.record.Totals()
	s.workload.Replay(t.Context(), 0.3)
	replayed := s.record.Totals().Sent - before.Sent
	drain := s.await()
	servers.Eventually(t, "the client has seen events", func() bool { return s.record.Totals().Seen > 300 })

	report := chaos.Report{
		Seed: s.config.Seed, Began: began, Ended: time.Now(), Command: "tenderlab chaos --seed 7", Drain: drain,
		Injections: []chaos.Injection{{At: began.Add(1500 * time.Millisecond), Name: "nats_restart", Detail: "one server", Outcome: "came back"}},
	}
	report.Verdict = s.check(chaos.Sources{Ledgers: s.ledgers, Record: s.recorded(), Drain: drain})
	var text, asJSON strings.Builder
	s.must(report.Text(&text))
	s.must(report.JSON(&asJSON))
	t.Log(text.String())
	v := report.Verdict
	if !v.OK || !strings.Contains(text.String(), "everything holds") || !strings.Contains(asJSON.String(), `"ok":true`) {
		t.Fatal("something does not hold")
	}
	for _, item := range v.Items {
		if item.Checked == 0 {
			t.Errorf("%s was never checked", item.Name)
		}
	}
	if share := float64(replayed) / float64(before.Acknowledged); share < 0.2 || share > 0.4 {
		t.Errorf("%.2f of what was acknowledged was replayed, want about 0.3", share)
	}
	if f := v.Figures; f.DuplicatesAbsorbed < replayed/2 || f.DeadLetters == 0 || f.Rejected == 0 || f.Accepted == 0 ||
		f.GatewayCalls < f.GatewayEffects || f.GatewayEffects == 0 || f.EventsSeen == 0 {
		t.Errorf("figures: %+v", f)
	}
}

func TestAwaitNamesWhatHangs(t *testing.T) {
	t.Parallel()
	s := setup(t, 20)
	s.halt()
	s.workload.Run(t.Context())
	var told []string
	drain, err := chaos.Await(t.Context(), s.pool, s.js, chaos.AwaitConfig{
		Timeout: 3 * time.Second, NamesMax: 3, Now: time.Now,
		ProgressEvery: time.Millisecond, Progress: func(_ time.Duration, open []string) { told = append(told, open...) },
	})
	s.must(err)
	if !slices.ContainsFunc(told, func(line string) bool { return strings.HasSuffix(line, "commands that no worker has taken") }) {
		t.Errorf("while it waited it told %q", told)
	}
	text := strings.Join(drain.Hanging, "\n")
	if drain.Done || drain.Commands == 0 || !strings.Contains(text, "command 1 was never taken: payments.cmd.") {
		t.Errorf("the drain is %+v", drain)
	}
	verdict := s.check(chaos.Sources{Record: s.recorded(), Drain: &drain})
	if verdict.OK || verdict.Item(chaos.Liveness).Violated == 0 || verdict.Item(chaos.NeverLost).Violated != 0 {
		t.Errorf("commands that no worker has taken: %+v", verdict.Items)
	}
}

// Await describes the open work and its due times to its caller.
func TestAwaitTellsWhatPaymentsWaitFor(t *testing.T) {
	t.Parallel()
	s := setup(t, 20)
	s.workload.Run(t.Context())
	s.await()
	s.halt()
	s.exec(`UPDATE payments SET state = replace(state::text, '"status":"succeeded"', '"status":"unknown"')::json`)
	s.exec(`INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at)
		SELECT payment_id, 'due', tenant, now() + interval '30 minutes', now() FROM payments
		WHERE state #>> '{operations,0,kind}' = 'authorize' AND json_array_length(state -> 'operations') = 1 AND state #>> '{operations,0,status}' = 'unknown'
		LIMIT 1 ON CONFLICT (payment_id, kind) DO UPDATE SET due_at = excluded.due_at`)
	const want = "1 payments wait: timer due authorize unknown, due in 29m"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var told []string
	drain, err := chaos.Await(ctx, s.pool, s.js, chaos.AwaitConfig{
		Timeout: time.Hour, Now: time.Now,
		ProgressEvery: time.Millisecond, Progress: func(_ time.Duration, open []string) {
			told = append(told, open...)
			if len(open) == 1 && strings.HasPrefix(open[0], want) {
				cancel()
			}
		},
	})
	if !errors.Is(err, context.Canceled) || drain.Done {
		t.Errorf("%v, told %q, then %+v", err, told, drain)
	}
}
