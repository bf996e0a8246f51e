package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted answers one call after the other as the test says, and the last answer for ever.
type scripted struct {
	mu     sync.Mutex
	script []func(context.Context) messages.Outcome
	asked  []messages.Operation
}

func (s *scripted) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	s.mu.Lock()
	next := s.script[min(len(s.asked), len(s.script)-1)]
	s.asked = append(s.asked, op)
	s.mu.Unlock()
	return next(ctx)
}

func (s *scripted) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	return s.Do(ctx, op)
}

func (s *scripted) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func says(outcomes ...messages.Outcome) *scripted {
	s := &scripted{}
	for _, o := range outcomes {
		s.script = append(s.script, func(context.Context) messages.Outcome { return o })
	}
	return s
}

// does is a gateway that answers every call with f.
func does(f func(context.Context) messages.Outcome) *scripted {
	return &scripted{script: []func(context.Context) messages.Outcome{f}}
}

// hangs answers when the caller's patience is at its end.
func hangs(ctx context.Context) messages.Outcome {
	<-ctx.Done()
	return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "no answer in time"}
}

func authorization() messages.Operation {
	id := uuid.New()
	return messages.Operation{
		ID: id.String() + "-1", Kind: messages.OperationAuthorize, PaymentID: id, Tenant: "acme", Attempt: 1,
		AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa",
	}
}

func guard(t testing.TB, g gateway.Gateway, s gateway.Settings) *gateway.Guard {
	t.Helper()
	guarded, err := gateway.NewGuard("acquirer", g, s)
	if err != nil {
		t.Fatal(err)
	}
	return guarded
}

func approved() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "ref", AmountMinor: 1999}
}

func declined(code string) messages.Outcome {
	d := gateway.ClassifyDecline(code, "", "")
	return messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &d}
}

func notSent() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "no connection"}
}

func unknown() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "connection reset"}
}

func TestQuickTries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says  []messages.Outcome
		want  messages.OutcomeKind
		tries int
	}{
		"an answer ends it":                           {[]messages.Outcome{approved()}, messages.OutcomeSucceeded, 1},
		"a decline ends it":                           {[]messages.Outcome{declined("insufficient_funds")}, messages.OutcomeDeclined, 1},
		"pending ends it":                             {[]messages.Outcome{{Kind: messages.OutcomePending}}, messages.OutcomePending, 1},
		"not sent is tried again":                     {[]messages.Outcome{notSent(), approved()}, messages.OutcomeSucceeded, 2},
		"unknown is tried again":                      {[]messages.Outcome{unknown(), approved()}, messages.OutcomeSucceeded, 2},
		"unknown may turn out declined":               {[]messages.Outcome{unknown(), declined("lost_card")}, messages.OutcomeDeclined, 2},
		"never sent stays not sent":                   {[]messages.Outcome{notSent()}, messages.OutcomeNotSent, 3},
		"unknown stays unknown":                       {[]messages.Outcome{unknown()}, messages.OutcomeUnknown, 3},
		"unknown and then not sent is unknown":        {[]messages.Outcome{unknown(), notSent()}, messages.OutcomeUnknown, 3},
		"doubt needs no words":                        {[]messages.Outcome{{Kind: messages.OutcomeUnknown}, {Kind: messages.OutcomeNotSent}}, messages.OutcomeUnknown, 3},
		"not sent, unknown and not sent is unknown":   {[]messages.Outcome{notSent(), unknown(), notSent()}, messages.OutcomeUnknown, 3},
		"not sent twice and then answered is success": {[]messages.Outcome{notSent(), notSent(), approved()}, messages.OutcomeSucceeded, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := says(c.says...)
				op := authorization()
				o := guard(t, s, gateway.Settings{}).Do(t.Context(), op)
				if o.Kind != c.want || o.Tries != c.tries {
					t.Errorf("outcome is %s after %d tries, want %s after %d", o.Kind, o.Tries, c.want, c.tries)
				}
				if s.calls() != c.tries {
					t.Errorf("the gateway was called %d times, want %d", s.calls(), c.tries)
				}
				for _, asked := range s.asked {
					if diff := cmp.Diff(op, asked); diff != "" {
						t.Errorf("a try asked for another operation (-want +asked):\n%s", diff)
					}
				}
			})
		})
	}
}

func TestUnknownThenNotSentTellsBoth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := guard(t, says(unknown(), notSent()), gateway.Settings{}).Do(t.Context(), authorization())
		if !strings.Contains(o.Detail, "connection reset") || !strings.Contains(o.Detail, "no connection") {
			t.Errorf("detail %q does not tell of both tries", o.Detail)
		}
	})
}

func TestSenselessAnswersAreUnknown(t *testing.T) {
	t.Parallel()
	soft := declined("insufficient_funds").Decline
	action := &messages.NextAction{Type: "redirect", URL: "https://bank.example"}
	for name, o := range map[string]messages.Outcome{
		"no kind":                          {},
		"a kind that does not exist":       {Kind: "maybe"},
		"not found to a Do":                {Kind: messages.OutcomeNotFound},
		"declined without a decline":       {Kind: messages.OutcomeDeclined},
		"declined without a code":          {Kind: messages.OutcomeDeclined, Decline: &messages.Decline{Class: messages.DeclineSoft}},
		"declined without a class":         {Kind: messages.OutcomeDeclined, Decline: &messages.Decline{Code: "lost_card"}},
		"a decline class of its own":       {Kind: messages.OutcomeDeclined, Decline: &messages.Decline{Code: "lost_card", Class: "odd"}},
		"succeeded with a decline":         {Kind: messages.OutcomeSucceeded, GatewayReference: "ref", Decline: soft},
		"succeeded with a next action":     {Kind: messages.OutcomeSucceeded, GatewayReference: "ref", NextAction: action},
		"authorized without a reference":   {Kind: messages.OutcomeSucceeded},
		"a negative amount":                {Kind: messages.OutcomeSucceeded, GatewayReference: "ref", AmountMinor: -1},
		"action without the action":        {Kind: messages.OutcomeRequiresAction, GatewayReference: "ref"},
		"action without a reference":       {Kind: messages.OutcomeRequiresAction, NextAction: action},
		"action of an unnamed type":        {Kind: messages.OutcomeRequiresAction, GatewayReference: "ref", NextAction: &messages.NextAction{}},
		"not sent with a decline":          {Kind: messages.OutcomeNotSent, Decline: soft},
		"unknown with a negative amount":   {Kind: messages.OutcomeUnknown, AmountMinor: -5},
		"pending with a decline":           {Kind: messages.OutcomePending, Decline: soft},
		"requires action with a decline":   {Kind: messages.OutcomeRequiresAction, GatewayReference: "ref", NextAction: action, Decline: soft},
		"not sent with the next action":    {Kind: messages.OutcomeNotSent, NextAction: action},
		"declined with an action besides":  {Kind: messages.OutcomeDeclined, Decline: soft, NextAction: action},
		"not found with a negative amount": {Kind: messages.OutcomeNotFound, AmountMinor: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := guard(t, says(o), gateway.Settings{}).Do(t.Context(), authorization())
			if got.Kind != messages.OutcomeUnknown || got.Tries != 1 || got.Detail == "" {
				t.Errorf("outcome is %+v, want unknown after one try, and why", got)
			}
		})
	}
	t.Run("requires_action to a capture", func(t *testing.T) {
		t.Parallel()
		op := authorization()
		op.Kind = messages.OperationCapture
		o := messages.Outcome{Kind: messages.OutcomeRequiresAction, GatewayReference: "ref", NextAction: action}
		if got := guard(t, says(o), gateway.Settings{}).Do(t.Context(), op); got.Kind != messages.OutcomeUnknown {
			t.Errorf("outcome is %s, want unknown", got.Kind)
		}
	})
}

func TestPanicIsUnknown(t *testing.T) {
	t.Parallel()
	var heard []string
	g := guard(t, does(func(context.Context) messages.Outcome { panic("4242 is a secret") }), gateway.Settings{
		OnPanic: func(name string, value any, stack []byte) {
			heard = append(heard, fmt.Sprintf("%s: %v, stack %t", name, value, len(stack) > 0))
		},
	})
	o := g.Do(t.Context(), authorization())
	if o.Kind != messages.OutcomeUnknown || o.Tries != 1 {
		t.Errorf("outcome is %s after %d tries, want unknown after one", o.Kind, o.Tries)
	}
	if strings.Contains(o.Detail, "4242") {
		t.Errorf("the detail tells what the panic said: %s", o.Detail)
	}
	if want := []string{"acquirer: 4242 is a secret, stack true"}; !slices.Equal(heard, want) {
		t.Errorf("heard of %q, want %q", heard, want)
	}
}

func TestDetailsHoldNoCardNumber(t *testing.T) {
	t.Parallel()
	o := guard(t, says(messages.Outcome{Kind: messages.OutcomePending, Detail: "card 4242 4242 4242 4242 accepted"}), gateway.Settings{}).
		Do(t.Context(), authorization())
	if messages.ContainsCardNumber([]byte(o.Detail)) {
		t.Errorf("the detail holds a card number: %s", o.Detail)
	}
}

func TestTimeoutIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	timeouts := gateway.Timeouts{
		Authorize: 4 * time.Second, Capture: 5 * time.Second, Void: 6 * time.Second, Refund: 7 * time.Second, Lookup: 3 * time.Second,
	}
	for kind, want := range map[messages.OperationKind]time.Duration{
		messages.OperationAuthorize: timeouts.Authorize, messages.OperationConfirm: timeouts.Authorize,
		messages.OperationCapture: timeouts.Capture, messages.OperationVoid: timeouts.Void, messages.OperationRefund: timeouts.Refund,
		"lookup": timeouts.Lookup,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := guard(t, does(hangs), gateway.Settings{Timeouts: timeouts})
				op, ask, began := authorization(), g.Do, time.Now()
				op.Kind = kind
				if kind == "lookup" {
					ask = g.Lookup
				}
				if o := ask(t.Context(), op); o.Kind != messages.OutcomeUnknown || o.Tries != 1 {
					t.Errorf("outcome is %s after %d tries, want unknown after one", o.Kind, o.Tries)
				}
				if waited := time.Since(began); waited != want { // The bubble's clock moves by the timeout alone.
					t.Errorf("waited %s, want %s", waited, want)
				}
			})
		})
	}
}

func TestRetryAfterIsHonouredWhenShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		busy := unknown()
		busy.RetryAfter = time.Second
		began := time.Now()
		o := guard(t, says(busy, approved()), gateway.Settings{}).Do(t.Context(), authorization())
		if o.Kind != messages.OutcomeSucceeded || o.Tries != 2 {
			t.Errorf("outcome is %s after %d tries, want succeeded after two", o.Kind, o.Tries)
		}
		if waited := time.Since(began); waited < time.Second || waited > 1100*time.Millisecond { // On the bubble's clock.
			t.Errorf("waited %s, want the second that was asked for and a moment to spread calls", waited)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		busy := unknown()
		busy.RetryAfter = time.Minute
		o := guard(t, says(busy, approved()), gateway.Settings{}).Do(t.Context(), authorization())
		if o.Kind != messages.OutcomeUnknown || o.Tries != 1 || o.RetryAfter != time.Minute {
			t.Errorf("outcome is %+v, want unknown after one try, to be tried again in a minute", o)
		}
	})
}

func TestQuickTriesEndWithTheirTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := gateway.Settings{Retry: gateway.Retry{TriesMax: 1000, Initial: 100 * time.Millisecond, Max: 200 * time.Millisecond, Total: time.Second}}
		began := time.Now()
		o := guard(t, says(notSent()), s).Do(t.Context(), authorization())
		if o.Kind != messages.OutcomeNotSent || o.Tries < 4 || o.Tries > 20 {
			t.Errorf("outcome is %s after %d tries, want not_sent after some", o.Kind, o.Tries)
		}
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("a try began %s after the call, want within a second", waited)
		}
	})
}

func TestCallerGivesUpBetweenTries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := does(func(context.Context) messages.Outcome {
			cancel()
			return notSent()
		})
		if o := guard(t, s, gateway.Settings{}).Do(ctx, authorization()); o.Kind != messages.OutcomeNotSent || o.Tries != 1 {
			t.Errorf("outcome is %s after %d tries, want not_sent after one", o.Kind, o.Tries)
		}
	})
}

func TestCallerGaveUpBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := says(approved())
	g := guard(t, s, gateway.Settings{})
	if o := g.Do(ctx, authorization()); o.Kind != messages.OutcomeNotSent || o.Tries != 0 {
		t.Errorf("Do is %s after %d tries, want not_sent after none", o.Kind, o.Tries)
	}
	if o := g.Lookup(ctx, authorization()); o.Kind != messages.OutcomeUnknown || o.Tries != 0 {
		t.Errorf("Lookup is %s after %d tries, want unknown after none", o.Kind, o.Tries)
	}
	if s.calls() != 0 {
		t.Errorf("the gateway was called %d times", s.calls())
	}
}

func TestLookupIsNeverNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := guard(t, says(notSent()), gateway.Settings{}).Lookup(t.Context(), authorization())
		if o.Kind != messages.OutcomeUnknown || o.Tries != 3 {
			t.Errorf("outcome is %s after %d tries, want unknown after three", o.Kind, o.Tries)
		}
	})
	o := guard(t, says(messages.Outcome{Kind: messages.OutcomeNotFound}), gateway.Settings{}).Lookup(t.Context(), authorization())
	if o.Kind != messages.OutcomeNotFound {
		t.Errorf("outcome is %s, want not_found", o.Kind)
	}
}

func TestUnknownKindIsNotSent(t *testing.T) {
	t.Parallel()
	s := says(approved())
	op := authorization()
	op.Kind = "cancel"
	if o := guard(t, s, gateway.Settings{}).Do(t.Context(), op); o.Kind != messages.OutcomeNotSent || s.calls() != 0 {
		t.Errorf("outcome is %s after %d calls, want not_sent after none", o.Kind, s.calls())
	}
}
