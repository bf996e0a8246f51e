package simulator_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim/simtest"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

const hookSecret = "whsec_simulator"

// receiver takes events on a real port.
type receiver struct {
	url string
	// taken are the events that were answered with 200.
	taken chan protocol.Event

	mu       sync.Mutex
	answers  []int // for the next tries; then 200
	tries    []string
	arriving func()
}

func receive(t *testing.T, answers ...int) *receiver {
	t.Helper()
	r := &receiver{taken: make(chan protocol.Event, 100), answers: answers, arriving: func() {}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return // The sender went away.
		}
		if err := protocol.Verify(request.Header.Get(protocol.HeaderSignature), body, []string{hookSecret}, time.Now(), time.Minute); err != nil {
			t.Error(err)
		}
		e, err := protocol.DecodeEvent(body)
		if err != nil {
			t.Error(err)
		}
		r.arriving()
		if status := r.answer(e.ID); status != http.StatusOK {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			return
		}
		r.taken <- e
	}))
	t.Cleanup(server.Close)
	r.url = server.URL + "/webhooks/simulator"
	return r
}

func (r *receiver) answer(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries = append(r.tries, id)
	if len(r.answers) == 0 {
		return http.StatusOK
	}
	status := r.answers[0]
	r.answers = r.answers[1:]
	return status
}

func (r *receiver) config() simulator.Config {
	return simulator.Config{Config: sim.Config{Hang: time.Minute, PendingLookups: 1000}, Webhook: simulator.Webhook{
		URL: r.url, Secret: hookSecret, Pause: time.Millisecond, Lead: time.Millisecond, Moment: time.Millisecond,
	}}
}

// want takes the next event and holds it to its type and amount.
func (r *receiver) want(t *testing.T, op messages.Operation, kind protocol.EventType, amount int64) protocol.Event {
	t.Helper()
	e := <-r.taken
	if e.Type != kind || e.OperationID != op.ID || e.PaymentID != op.PaymentID || e.Tenant != op.Tenant || e.AmountMinor != amount {
		t.Fatalf("got %+v, want %s of %d for %s", e, kind, amount, op.ID)
	}
	return e
}

// wantAll takes as many events, in any order, and holds them to their amounts.
func (r *receiver) wantAll(t *testing.T, op messages.Operation, amounts map[protocol.EventType]int64) map[protocol.EventType]protocol.Event {
	t.Helper()
	got := make(map[protocol.EventType]protocol.Event)
	for range amounts {
		e := <-r.taken
		if amount, wanted := amounts[e.Type]; !wanted || e.OperationID != op.ID || e.AmountMinor != amount {
			t.Fatalf("got %+v, want one of %v for %s", e, amounts, op.ID)
		}
		got[e.Type] = e
	}
	if len(got) != len(amounts) {
		t.Fatalf("got %v, want %v", got, amounts)
	}
	return got
}

func TestEverythingThatIsDoneIsTold(t *testing.T) {
	t.Parallel()
	r := receive(t)
	s := newSimulator(t, r.config())
	p := gatewaytest.NewPayment()
	authorize := p.Authorize("pm_card_visa", 10000)
	p.Reference = s.Do(t.Context(), authorize).GatewayReference
	if e := r.want(t, authorize, protocol.EventSucceeded, 10000); e.CaptureBefore.IsZero() || e.GatewayReference != p.Reference {
		t.Errorf("%+v", e)
	}
	s.Do(t.Context(), authorize) // A replay is nothing new.
	capture, refund, void := p.Capture(6000), p.Refund(1000), p.Void()
	for _, op := range []messages.Operation{capture, refund} {
		s.Do(t.Context(), op)
		r.want(t, op, protocol.EventSucceeded, op.AmountMinor)
	}
	s.Do(t.Context(), void)
	r.want(t, void, protocol.EventSucceeded, 4000)
	more := p.Refund(5001)
	s.Do(t.Context(), more)
	if e := r.want(t, more, protocol.EventDeclined, 0); e.DeclineCode != "amount_exceeds_captured" {
		t.Errorf("%+v", e)
	}
	challenged := gatewaytest.NewPayment().Charge("pm_card_threeDSecure2Required", 100)
	s.Do(t.Context(), challenged)
	if e := r.want(t, challenged, protocol.EventRequiresAction, 0); e.NextAction == nil || e.NextAction.URL == "" {
		t.Errorf("%+v", e)
	}
}

func TestAnEventIsSentUntilItIsTaken(t *testing.T) {
	t.Parallel()
	r := receive(t, http.StatusServiceUnavailable, http.StatusTemporaryRedirect, http.StatusInternalServerError)
	s := newSimulator(t, r.config())
	op := gatewaytest.NewPayment().Charge("pm_card_visa", 100)
	s.Do(t.Context(), op)
	e := r.want(t, op, protocol.EventSucceeded, 100)
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff([]string{e.ID, e.ID, e.ID, e.ID}, r.tries); diff != "" {
		t.Errorf("the tries differ (-want +got):\n%s", diff)
	}
}

func TestTheAnswerWaitsForItsEvent(t *testing.T) {
	t.Parallel()
	r := receive(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	r.arriving = func() { // Only the first of them.
		arrived <- struct{}{}
		<-release
	}
	s := newSimulator(t, r.config())
	op := gatewaytest.NewPayment().Charge("sim_webhook_first", 100)
	answered := make(chan messages.Outcome, 1)
	go func() { answered <- s.Do(t.Context(), op) }()
	<-arrived
	select {
	case o := <-answered:
		close(release)
		t.Fatalf("it answered %s before its event was taken", o.Kind)
	default:
	}
	close(release)
	gatewaytest.Want(t, <-answered, messages.OutcomeSucceeded)
	r.want(t, op, protocol.EventSucceeded, 100)
}

func TestDuplicatesAndDisorder(t *testing.T) {
	t.Parallel()
	r := receive(t)
	s := newSimulator(t, r.config())
	twice := gatewaytest.NewPayment().Charge("sim_webhook_duplicate", 100)
	s.Do(t.Context(), twice)
	first := r.want(t, twice, protocol.EventSucceeded, 100)
	if diff := cmp.Diff(first, r.want(t, twice, protocol.EventSucceeded, 100)); diff != "" {
		t.Errorf("the copy differs:\n%s", diff)
	}
	disordered := gatewaytest.NewPayment().Charge("sim_webhook_reordered", 100)
	s.Do(t.Context(), disordered)
	newer := r.want(t, disordered, protocol.EventSucceeded, 100)
	older := r.want(t, disordered, protocol.EventPending, 0)
	if !older.OccurredAt.Before(newer.OccurredAt) || older.ID == newer.ID {
		t.Errorf("%+v came after %+v", older, newer)
	}
}

func TestReversalsAreInTheLedgerForGood(t *testing.T) {
	t.Parallel()
	r := receive(t)
	config := r.config()
	config.Journal = filepath.Join(t.TempDir(), "ledger.jsonl")
	s := newSimulator(t, config)

	returned := gatewaytest.NewPayment()
	authorize := returned.Authorize("sim_capture_reversed", 10000)
	returned.Reference = s.Do(t.Context(), authorize).GatewayReference
	r.want(t, authorize, protocol.EventSucceeded, 10000)
	capture := returned.Capture(6000)
	s.Do(t.Context(), capture)
	told := r.wantAll(t, capture, map[protocol.EventType]int64{protocol.EventSucceeded: 6000, protocol.EventReversed: 6000})
	if e := told[protocol.EventReversed]; e.DeclineCode != "payment_returned" {
		t.Errorf("%+v", e)
	}

	refunded := gatewaytest.NewPayment()
	charge := refunded.Charge("pm_card_refundFail", 10000)
	refunded.Reference = s.Do(t.Context(), charge).GatewayReference
	r.want(t, charge, protocol.EventSucceeded, 10000)
	refund := refunded.Refund(3000)
	gatewaytest.Want(t, s.Do(t.Context(), refund), messages.OutcomeSucceeded)
	r.wantAll(t, refund, map[protocol.EventType]int64{protocol.EventSucceeded: 3000, protocol.EventReversed: 3000})

	before := s.Snapshot()
	if total, _ := before.Payment(returned.ID()); total.CapturedMinor != 0 || total.ReleasedMinor != 6000 || total.Effects != 2 || total.Reversals != 1 {
		t.Errorf("after the return it is %+v", total)
	}
	if total, _ := before.Payment(refunded.ID()); total.CapturedMinor != 10000 || total.RefundedMinor != 0 || total.Reversals != 1 {
		t.Errorf("after the refund it is %+v", total)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after := newSimulator(t, config)
	if diff := cmp.Diff(before.Entries, after.Ledger()); diff != "" {
		t.Errorf("the ledger changed (-before +after):\n%s", diff)
	}
	// A returned capture cannot be captured again, and an amount that was not refunded can be
	// refunded.
	gatewaytest.WantDecline(t, after.Do(t.Context(), returned.Capture(4001)))
	gatewaytest.Want(t, after.Do(t.Context(), returned.Capture(4000)), messages.OutcomeSucceeded)
	gatewaytest.Want(t, after.Do(t.Context(), refunded.Refund(10000)), messages.OutcomeSucceeded)
}

func TestAPendingRefundComesThroughByItself(t *testing.T) {
	t.Parallel()
	r := receive(t)
	s := newSimulator(t, r.config())
	p := gatewaytest.NewPayment()
	charge := p.Charge("pm_card_pendingRefund", 10000)
	p.Reference = s.Do(t.Context(), charge).GatewayReference
	r.want(t, charge, protocol.EventSucceeded, 10000)
	refund := p.Refund(3000)
	gatewaytest.Want(t, s.Do(t.Context(), refund), messages.OutcomePending)
	r.wantAll(t, refund, map[protocol.EventType]int64{protocol.EventPending: 0, protocol.EventSucceeded: 3000})
	if n := simtest.Effects(s.Simulator, refund); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func TestDisputesAreMovedByTheOperator(t *testing.T) {
	t.Parallel()
	r := receive(t)
	s := newSimulator(t, r.config())
	charge := gatewaytest.NewPayment().Charge("pm_card_createDispute", 10000)
	s.Do(t.Context(), charge)
	told := r.wantAll(t, charge, map[protocol.EventType]int64{protocol.EventSucceeded: 10000, protocol.EventDisputeOpened: 10000})
	opened := told[protocol.EventDisputeOpened]
	if opened.DisputeID != "dp_"+charge.ID || opened.RespondBefore.IsZero() {
		t.Errorf("%+v", opened)
	}
	server := httptest.NewServer(s.Handler(testKey))
	defer server.Close()
	move := func(key, id, status string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+simulator.PathDisputes+id+"/"+status, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+key)
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	for _, c := range []struct {
		key, id, status string
		want            int
	}{
		{"wrong", opened.DisputeID, "won", http.StatusUnauthorized},
		{testKey, "dp_else", "won", http.StatusBadRequest},
		{testKey, opened.DisputeID, "forgotten", http.StatusBadRequest},
		{testKey, opened.DisputeID, "challenged", http.StatusNoContent},
		{testKey, opened.DisputeID, "won", http.StatusNoContent},
		{testKey, opened.DisputeID, "lost", http.StatusBadRequest},
	} {
		if got := move(c.key, c.id, c.status); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.id, c.status, got, c.want)
		}
	}
	for range 2 { // Several are on their way at once, in any order.
		e := <-r.taken
		if e.DisputeID != opened.DisputeID || e.Type != protocol.EventDisputeChallenged && e.Type != protocol.EventDisputeWon {
			t.Errorf("%+v", e)
		}
	}
}

func TestCloseGivesEventsUp(t *testing.T) {
	t.Parallel()
	r := receive(t)
	arrived := make(chan struct{}, 100)
	release := make(chan struct{})
	defer close(release)
	r.arriving = func() {
		arrived <- struct{}{}
		<-release
	}
	config := r.config()
	config.Webhook.Moment = time.Minute
	s := newSimulator(t, config)
	for range 20 {
		s.Do(t.Context(), gatewaytest.NewPayment().Charge("pm_card_createDispute", 100))
	}
	<-arrived
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.MoveDispute("dp_1", "won"); err == nil {
		t.Error("a dispute moves after the end")
	}
}

func TestWebhooksThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]simulator.Webhook{
		"no secret":        {URL: "http://127.0.0.1:1/"},
		"no host":          {URL: "http:///webhooks", Secret: "a"},
		"another scheme":   {URL: "ftp://127.0.0.1/", Secret: "a"},
		"a negative pause": {URL: "http://127.0.0.1:1/", Secret: "a", Pause: -1},
		"a long moment":    {URL: "http://127.0.0.1:1/", Secret: "a", Moment: time.Hour},
	} {
		if _, err := simulator.New(simulator.Config{Webhook: w}); err == nil || !strings.Contains(err.Error(), "webhook") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
