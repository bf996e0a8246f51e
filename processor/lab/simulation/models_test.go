package simulation

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/delivery"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/payment"
	eventstore "github.com/seed-384b1f8a/tender/processor/store"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// side is an event store: the model, or the real one.
type side interface {
	load(key eventstore.Key) (eventstore.Loaded, error)
	commit(c *eventstore.Change) error
	reschedule(tenant string, id uuid.UUID, version int64, t payment.Timer) error
	// fire fires the timers that are due, unpark brings forward those of a gateway, sweep finds
	// stale calls, handled lets all fired timers fire again.
	fire(now time.Time) int
	unpark(gateway string, now time.Time) int
	sweep(now time.Time)
	handled(now time.Time)
	vanish(id uuid.UUID)
	// timers lists all timers, one to a line.
	timers() string
}

// script is a course of events, the same for both sides.
type script struct {
	steps []scriptStep
	ids   []uuid.UUID
}

// scriptStep lets some time pass, and then makes one thing happen.
type scriptStep struct {
	pass time.Duration
	what string
	// slot is the delivery that goes on; a free one takes cmd. outcome answers its call.
	slot    int
	cmd     messages.Command
	outcome messages.Outcome
	id      uuid.UUID
}

func newScript(seed uint64) script {
	r := rand.New(rand.NewPCG(seed, 1))
	s := script{ids: []uuid.UUID{uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())}}
	for i := range 500 {
		step := scriptStep{pass: time.Duration(1+r.IntN(20_000)) * time.Millisecond, what: "step", slot: r.IntN(4)}
		step.id = s.ids[r.IntN(len(s.ids))]
		switch r.IntN(40) {
		case 0, 1, 2:
			step.what = "fire"
		case 3:
			step.what = "unpark"
		case 4:
			step.what, step.pass = "sweep", time.Duration(r.IntN(10))*time.Minute
		case 5:
			step.what = "handled"
		case 6:
			step.what, step.pass = "fire", time.Duration(r.IntN(30))*time.Hour
		case 7:
			if r.IntN(4) == 0 {
				step.what = "vanish"
			}
		}
		step.cmd, step.outcome = scriptCommand(r, i, step.id), scriptOutcome(r)
		s.steps = append(s.steps, step)
	}
	return s
}

func scriptCommand(r *rand.Rand, i int, id uuid.UUID) messages.Command {
	amount := int64(1 + r.IntN(3000))
	bodies := []messages.CommandBody{
		&messages.Create{AmountMinor: 10_000, Currency: "EUR", PaymentMethod: "pm_card_visa", CaptureMethod: messages.CaptureManualMultiple},
		&messages.Create{AmountMinor: 10_000, Currency: "EUR", PaymentMethod: "pm_card_visa"},
		&messages.Capture{AmountMinor: &amount}, &messages.Refund{AmountMinor: &amount}, &messages.Void{}, &messages.Confirm{},
		&messages.Resume{}, &messages.Resume{Now: true}, &messages.Confirm{PaymentMethod: "pm_other"},
	}
	at := r.IntN(len(bodies))
	cmd := messages.Command{ID: fmt.Sprint("cmd-", i), Tenant: tenant, PaymentID: id, CorrelationID: "order", Body: bodies[at]}
	if cmd.Name() != messages.CommandResume {
		// Few keys and few bodies, so that keys are used twice, for the same and for others.
		cmd.IdempotencyKey = fmt.Sprint("key-", r.IntN(12))
		cmd.PayloadHash = [32]byte{byte(at), byte(r.IntN(2))}
	}
	return cmd
}

func scriptOutcome(r *rand.Rand) messages.Outcome {
	outcomes := []messages.Outcome{
		{Kind: messages.OutcomeSucceeded, AmountMinor: 10_000, GatewayReference: "gw_1", Tries: 1},
		{Kind: messages.OutcomeSucceeded, AmountMinor: 1500, GatewayReference: "gw_1", Tries: 1},
		{Kind: messages.OutcomeNotSent, Rest: messages.RestGateway, Tries: 1},
		{Kind: messages.OutcomeUnknown, Tries: 1},
		{Kind: messages.OutcomePending, GatewayReference: "gw_1", Tries: 1},
		{Kind: messages.OutcomeDeclined, Decline: &messages.Decline{Code: "some_code", Class: messages.DeclineSoft}, Tries: 1},
		{Kind: messages.OutcomeRequiresAction, NextAction: &messages.NextAction{Type: "redirect", URL: "https://bank.example"}, GatewayReference: "gw_1", Tries: 1},
	}
	return outcomes[r.IntN(len(outcomes))]
}

// play runs a script on a side, and returns what came of each step. Up to four deliveries are under
// way at once, so that they overtake each other.
func (s *script) play(store side) (log []string) {
	type slot struct {
		m *delivery.Machine
		e delivery.Effect
	}
	cfg := &delivery.Config{
		Policy: payment.DefaultPolicy(), Retryable: retryable,
		Route: func(messages.Command, *payment.Payment) payment.Route {
			return payment.Route{Gateway: "first", Rule: "only"}
		},
	}
	var slots [4]slot
	now := began()
	for _, step := range s.steps {
		now = now.Add(step.pass)
		line := step.what + ": "
		at := &slots[step.slot]
		switch step.what {
		case "fire":
			line += fmt.Sprint(store.fire(now))
		case "unpark":
			line += fmt.Sprint(store.unpark("first", now))
		case "sweep":
			store.sweep(now)
		case "handled":
			store.handled(now)
		case "vanish":
			store.vanish(step.id)
		default:
			if at.m == nil {
				at.m = delivery.New(cfg, step.cmd, step.cmd.Name() == messages.CommandCreate && step.slot%2 == 0)
				at.e = at.m.Start(now)
				line += string(step.cmd.Name())
				break
			}
			var did string
			did, at.e = advance(store, at.m, at.e, step.outcome, now)
			line += did
			if at.e.Kind == delivery.End {
				line += fmt.Sprintf(" ends: %v", at.e.Err)
				at.m = nil
			}
		}
		log = append(log, line, store.timers())
	}
	return log
}

// advance makes one effect on a side, and describes what came of it.
func advance(store side, m *delivery.Machine, e delivery.Effect, outcome messages.Outcome, now time.Time) (string, delivery.Effect) {
	switch e.Kind {
	case delivery.Load:
		loaded, err := store.load(e.Key)
		did := fmt.Sprintf("load: version %d %s, claim %+v, conflict %+v, %v",
			loaded.Payment.Version, loaded.Payment.Status, loaded.Claim, loaded.Conflict, err)
		return did, m.Loaded(loaded, err, now)
	case delivery.Commit:
		err := store.commit(&e.Change)
		return fmt.Sprintf("commit of %d events at %d: %s", len(e.Change.Events), e.Change.ExpectedVersion, class(err)), m.Committed(err, now)
	case delivery.Call:
		return "call", m.Answered(outcome, now)
	case delivery.Wait:
		return "wait", m.Waited(now)
	case delivery.Reschedule:
		err := store.reschedule(e.Payment.Tenant, e.Payment.ID, e.Payment.Version, e.Timer)
		return fmt.Sprintf("reschedule to %s: %s", e.Timer.At, class(err)), m.Rescheduled(err, now)
	default:
		return "end", e
	}
}

// class is what deliveries see of an error.
func class(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, eventstore.ErrVersionConflict):
		return "version conflict"
	case errors.Is(err, eventstore.ErrClaimTaken):
		return "claim taken"
	case retryable(err):
		return "retryable"
	default:
		return err.Error()
	}
}

// modelSide is the model.
type modelSide struct {
	*world
	ids []uuid.UUID
}

func newModelSide(ids []uuid.UUID) *modelSide {
	s := &modelSide{newWorld(1, Options{}), ids}
	for _, id := range ids {
		s.subjects = append(s.subjects, &subject{id: id})
	}
	return s
}

func (s *modelSide) load(key eventstore.Key) (eventstore.Loaded, error) { return s.store.load(key) }
func (s *modelSide) commit(c *eventstore.Change) error                  { return s.store.commit(c) }
func (s *modelSide) reschedule(tenant string, id uuid.UUID, version int64, t payment.Timer) error {
	return s.store.reschedule(tenant, id, version, t)
}

func (s *modelSide) fire(now time.Time) int {
	s.now = now
	before := s.figures["resumes"]
	for _, id := range s.ids {
		s.fireTimers(id)
	}
	return s.figures["resumes"] - before
}

func (s *modelSide) unpark(gateway string, now time.Time) int {
	s.now = now
	before := s.figures["unparked"]
	s.world.unpark(gateway)
	return s.figures["unparked"] - before
}

func (s *modelSide) sweep(now time.Time) {
	s.now = now
	for _, id := range s.ids {
		s.world.sweep(id)
	}
}

func (s *modelSide) handled(now time.Time) {
	for _, r := range s.store.rows {
		for _, t := range []*timer{r.due, r.stale} {
			if t != nil && t.resume != nil && !t.fireAt.After(now) {
				t.resume = nil
			}
		}
	}
}

func (s *modelSide) vanish(id uuid.UUID) {
	delete(s.store.rows, id)
	for key, claim := range s.store.claims {
		if claim.PaymentID == id {
			delete(s.store.claims, key)
		}
	}
}

func (s *modelSide) timers() string {
	var lines []string
	add := func(id uuid.UUID, kind string, t *timer) {
		if t != nil {
			lines = append(lines, timerLine(id, kind, *t, t.resume != nil))
		}
	}
	for id, r := range s.store.rows {
		add(id, "due", r.due)
		add(id, "stale", r.stale)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// timerLine describes a timer. The time of one that was brought forward is spread by chance.
func timerLine(id uuid.UUID, kind string, t timer, waits bool) string {
	at := t.fireAt.UTC().Format(time.RFC3339Nano)
	if t.now {
		at = "soon"
	}
	return fmt.Sprintf("%s %s due %s fires %s, fired %d, %q now=%t waits=%t", id, kind, t.dueAt.UTC().Format(time.RFC3339Nano), at, t.fired, t.gateway, t.now, waits)
}

// realSide is the real store.
type realSide struct{ *storetest.Bundle }

func (s realSide) load(key eventstore.Key) (eventstore.Loaded, error) {
	return s.Store.Load(s.Context(), key)
}
func (s realSide) commit(c *eventstore.Change) error { return s.Store.Commit(s.Context(), *c) }
func (s realSide) reschedule(tenant string, id uuid.UUID, version int64, t payment.Timer) error {
	return s.Store.Reschedule(s.Context(), tenant, id, version, t)
}

func (s realSide) fire(now time.Time) int {
	fired, _, err := s.Store.FireTimers(s.Context(), now, 100, lease)
	if err != nil {
		s.Fatal(err)
	}
	return fired
}

func (s realSide) unpark(gateway string, now time.Time) int {
	moved, err := s.Store.Unpark(s.Context(), gateway, now, spread, 100)
	if err != nil {
		s.Fatal(err)
	}
	return moved
}

func (s realSide) sweep(now time.Time) {
	if _, err := s.Store.SweepStale(s.Context(), now, sweepAge, 100); err != nil {
		s.Fatal(err)
	}
}

func (s realSide) handled(now time.Time) {
	s.Exec(`DELETE FROM outbox`) // The relay has published everything, and the workers have handled it.
	resumes, err := s.Store.PublishedResumes(s.Context(), now, 100)
	if err != nil {
		s.Fatal(err)
	}
	if err := s.Store.BoundResumes(s.Context(), resumes, 7); err != nil {
		s.Fatal(err)
	}
	known := eventstore.ResumeBounds{Lowest: 7, Highest: 7}
	if _, err := s.Store.HandledResumes(s.Context(), eventstore.Handled{Upto: 7, Last: 7, Known: known}, 100); err != nil {
		s.Fatal(err)
	}
}

func (s realSide) vanish(id uuid.UUID) {
	s.Unprotect()
	for _, table := range []string{"payments", "payment_events", "commands", "timers"} {
		s.Exec(`DELETE FROM `+table+` WHERE payment_id = $1`, id)
	}
	s.Exec(`DELETE FROM outbox`)
}

func (s realSide) timers() string {
	rows, err := s.Pool.Query(s.Context(), `SELECT payment_id, kind, due_at, fire_at, fired, gateway, try_now, resume_id IS NOT NULL FROM timers`)
	if err != nil {
		s.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var id uuid.UUID
		var kind string
		var t timer
		var waits bool
		if err := rows.Scan((*[16]byte)(&id), &kind, &t.dueAt, &t.fireAt, &t.fired, &t.gateway, &t.now, &waits); err != nil {
			s.Fatal(err)
		}
		lines = append(lines, timerLine(id, kind, t, waits))
	}
	if err := rows.Err(); err != nil {
		s.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestTheModelOfTheStoreIsLikeTheStore runs the same scripts on the model and on the real store:
// conflicts, claims that are taken, vanished rows, timers that are set, kept, fired, brought
// forward and moved come out alike.
func TestTheModelOfTheStoreIsLikeTheStore(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range uint64(4) {
		s := newScript(seed)
		want := s.play(realSide{storetest.Setup(t)})
		model := newModelSide(s.ids)
		got := s.play(model)
		if model.finding != nil {
			t.Errorf("script %d: %v", seed, model.finding)
		}
		for i := range want {
			if diff := cmp.Diff(want[i], got[i]); diff != "" {
				t.Fatalf("script %d: the model differs from the store (-store +model) after\n%s\n%s", seed, strings.Join(want[max(0, i-6):i], "\n"), diff)
			}
			for _, what := range []string{"version conflict", "claim taken", "reschedule", "vanish", "fire: 1", "unpark: 1", "stale due", "conflict &{"} {
				seen[what] = seen[what] || strings.Contains(want[i], what)
			}
		}
	}
	for what := range seen {
		if !seen[what] {
			t.Errorf("no script had %q", what)
		}
	}
}
