package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
)

// newTestEnv returns an invocation with an empty environment, and its output.
func newTestEnv() (e *term.Env, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return &term.Env{Program: "tenderlab", Stdin: strings.NewReader(""), Stdout: stdout, Stderr: stderr, Now: time.Now}, stdout, stderr
}

// passableDir is a temporary folder that other users can enter: for root, PostgreSQL runs as
// another user.
func passableDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(folder, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// It runs before the parallel tests of the package: on a busy machine a slow call would look like a
// broken gateway.
func TestDemo(t *testing.T) {
	temporary := passableDir(t)
	t.Setenv("TMPDIR", temporary)
	e, stdout, stderr := newTestEnv()
	if code := e.Main(t.Context(), []string{"demo", "--json"}, newRoot); code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	var report demoReport
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatalf("%v\n%s", err, stdout)
	}
	stories, err := cast(demoScenarios())
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK || len(report.Payments) != len(stories) || report.Verify.Events == 0 || len(report.Gateways) != len(demoGateways()) {
		t.Fatalf("the report is %+v", report)
	}
	for i, p := range report.Payments {
		if told := stories[i]; p.Name != told.name || len(p.Steps) != len(told.steps) || p.Status != told.want.status {
			t.Errorf("scenario %s came out as %+v", told.name, p)
		}
	}
	for _, books := range report.Gateways {
		if books.Effects == 0 {
			t.Errorf("nothing was done by the gateway %s", books.Name)
		}
	}
	if o := report.Outage; o == nil || o.Gateway != demoFirst || o.FailedOver != 40 || o.Parked != 8 || len(o.Breakers) != demoInstances {
		t.Errorf("the outage came out as %+v", o)
	}
	for _, said := range []string{
		"NATS with JetStream at nats://127.0.0.1:", "tender_serve:xxxxx@", "ok  timeout after charge\n", "ok  webhook first\n",
		"ok  the gateway simulator goes down: ", "ok  gateway down: 40 payments\n", "ok  the gateway simulator is back\n", "ok  gateway back\n",
		"ok  drained\n",
	} {
		if !strings.Contains(stderr.String(), said) {
			t.Errorf("nothing on standard error says %q:\n%s", said, stderr)
		}
	}
	left, err := filepath.Glob(filepath.Join(temporary, "tender-*", "run-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	if _, err := os.Stat(term.DevFile); err == nil {
		t.Errorf("left behind: %s", term.DevFile)
	}
}

// Every kind of expectation is wrong once, and nothing else is.
func TestDemoNamesEveryDifference(t *testing.T) {
	wrong := map[string]func(*scenario){
		"status is captured, expected authorized":    func(s *scenario) { s.want.status = messages.StatusAuthorized },
		"captured is 1000 minor units, expected 999": func(s *scenario) { s.want.captured = 999 },
		"the gateway acted 1 times, expected 2":      func(s *scenario) { s.want.effects = 2 },
		"step 1 (create): events are [created routed captured], expected [created captured routed]": func(s *scenario) {
			s.steps[0].events = emitted(messages.EventPaymentCreated, messages.EventPaymentCaptured, messages.EventPaymentRouted)
		},
		"step 2 (refund): events are [refused: amount_exceeds_refundable], expected [refused: nothing_to_refund]": func(s *scenario) {
			s.steps = append(s.steps, step{asked: "refund", body: refundBody(1001), events: refusedWith(messages.RejectNothingToRefund)})
		},
		`step 2 (rubbish): the reason of its dead letter is "invalid_json", expected "unknown_field"`: func(s *scenario) {
			s.steps = append(s.steps, step{asked: "rubbish", raw: &rawCommand{verb: "refund", body: "?"}, letter: messages.CodeUnknownField})
		},
	}
	var scenarios []scenario
	for name, sabotage := range wrong {
		s := scenario{
			name: name,
			steps: []step{{
				asked: "create", body: createBody(1000, "USD", "pm_card_visa", messages.CaptureAutomatic),
				events: createdAnd(messages.EventPaymentCaptured),
			}},
			want: expected{status: messages.StatusCaptured, authorized: 1000, captured: 1000, effects: 1},
		}
		sabotage(&s)
		scenarios = append(scenarios, s)
	}
	e, stdout, stderr := newTestEnv()
	err := (&demo{Env: e}).run(t.Context(), scenarios)
	if code := term.CodeOf(err); code != term.ExitNo {
		t.Fatalf("exit code %d (%v)\n%s\n%s", code, err, stdout, stderr)
	}
	for name := range wrong {
		if want := "NO  " + name + ": " + name + "\n"; !strings.Contains(stdout.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, stdout)
		}
	}
	if got := strings.Count(stdout.String(), "\nNO  "); got != 2*len(wrong)+1 { // rows, mismatches, the sum
		t.Errorf("%d lines say NO:\n%s", got, stdout)
	}
	if !strings.Contains(stdout.String(), "NO  0 of 6 are as expected") || !strings.Contains(stdout.String(), "ok  verify: ") {
		t.Errorf("the sum is missing:\n%s", stdout)
	}
	if !strings.Contains(stderr.String(), "The end of the log:\n  ") || strings.Contains(stdout.String(), "Next:") {
		t.Errorf("it does not end as a failure:\n%s\n%s", stdout, stderr)
	}
}

func TestDemoTakesNoServers(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"demo", "--nats", "nats://example.com"}, {"dev", "--config", "tender.yaml"}, {"dev", "--nats-port", "70000"}} {
		e, _, stderr := newTestEnv()
		if code := e.Main(t.Context(), args, newRoot); code != int(term.ExitUsage) || stderr.Len() == 0 {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}
