package gateway_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

const cardNumber = "4111 1111 1111 1111"

func requiresAction(action messages.NextAction) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeRequiresAction, GatewayReference: "ref", NextAction: &action}
}

// TestOursUnusableWordsAreUnknown holds that an answer in which a needed word cannot be stored is
// unknown, and names the word.
func TestOursUnusableWordsAreUnknown(t *testing.T) {
	t.Parallel()
	succeeded := func(reference string) messages.Outcome {
		return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: reference, AmountMinor: 1999}
	}
	for name, c := range map[string]struct {
		says messages.Outcome
		word string
	}{
		"a NUL in the reference":          {succeeded("pi_1\x00"), "gateway_reference"},
		"a line break in the reference":   {succeeded("pi_1\n"), "gateway_reference"},
		"a reference that is not UTF-8":   {succeeded("pi_\xff"), "gateway_reference"},
		"an endless reference":            {succeeded(strings.Repeat("x", 256)), "gateway_reference"},
		"a card number as the reference":  {succeeded(cardNumber), "gateway_reference"},
		"a pending answer's reference":    {messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "\x00"}, "gateway_reference"},
		"a NUL in a decline's code":       {messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &messages.Decline{Code: "\x00", Class: messages.DeclineSoft}}, "decline_code"},
		"a card number in the code":       {messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &messages.Decline{Code: cardNumber, Class: messages.DeclineSoft}}, "decline_code"},
		"an action of another type":       {requiresAction(messages.NextAction{Type: "dance"}), "next_action.type"},
		"a script for a URL":              {requiresAction(messages.NextAction{Type: "redirect", URL: "javascript:alert(1)"}), "next_action.url"},
		"a page that is not encrypted":    {requiresAction(messages.NextAction{Type: "redirect", URL: "http://bank.example/"}), "next_action.url"},
		"a URL with a user":               {requiresAction(messages.NextAction{Type: "redirect", URL: "https://bank.example@evil.example/"}), "next_action.url"},
		"a redirect to nowhere":           {requiresAction(messages.NextAction{Type: "redirect"}), "next_action.url"},
		"an endless URL":                  {requiresAction(messages.NextAction{Type: "redirect", URL: "https://bank.example/" + strings.Repeat("x", 2000)}), "next_action.url"},
		"a card number in a URL":          {requiresAction(messages.NextAction{Type: "redirect", URL: "https://bank.example/?pan=4111111111111111"}), "next_action.url"},
		"an escaped card number in a URL": {requiresAction(messages.NextAction{Type: "redirect", URL: "https://bank.example/?pan=%34111%201111+1111%201111"}), "next_action.url"},
		"a NUL in a client secret":        {requiresAction(messages.NextAction{Type: "three_d_secure", ClientSecret: "\x00"}), "next_action.client_secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := says(c.says)
			o := guard(t, s, gateway.Settings{}).Do(t.Context(), authorization())
			if o.Kind != messages.OutcomeUnknown || o.Tries != 1 || !strings.Contains(o.Detail, c.word) {
				t.Errorf("outcome is %+v, want unknown after one try, with a detail about %s", o, c.word)
			}
			if problem := unstorable(o); problem != "" {
				t.Errorf("the outcome cannot be stored: %s", problem)
			}
		})
	}
}

// TestOursWordsThatAreNotNeededAreMaskedOrDropped holds that an outcome stands when only a word
// that it does not need is unusable.
func TestOursWordsThatAreNotNeededAreMaskedOrDropped(t *testing.T) {
	t.Parallel()
	says := says(messages.Outcome{
		Kind: messages.OutcomeDeclined, GatewayReference: "\x00", Detail: "card " + cardNumber + "\x00 refused",
		Decline: &messages.Decline{
			Code: "do_not_honor", Class: messages.DeclineSoft, NetworkDeclineCode: "05\x00", NetworkAdviceCode: cardNumber,
			RecommendedAction: "pray",
		},
	})
	got := guard(t, says, gateway.Settings{}).Do(t.Context(), authorization())
	want := messages.Outcome{
		Kind: messages.OutcomeDeclined, Detail: "card **** **** **** 1111 refused", Tries: 1,
		Decline: &messages.Decline{Code: "do_not_honor", Class: messages.DeclineSoft},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

func TestUsableActionsStand(t *testing.T) {
	t.Parallel()
	for _, action := range []messages.NextAction{
		{Type: "redirect", URL: "https://bank.example/3ds?a=b"},
		{Type: "redirect", URL: "http://127.0.0.1:8585/challenge/ref"},
		{Type: "redirect", URL: "http://localhost/challenge"},
		{Type: "redirect", URL: "http://[::1]:8585/challenge"},
		{Type: "three_d_secure", ClientSecret: "pi_1_secret_2"},
		{Type: "three_d_secure"},
	} {
		got := guard(t, says(requiresAction(action)), gateway.Settings{}).Do(t.Context(), authorization())
		if got.Kind != messages.OutcomeRequiresAction || *got.NextAction != action {
			t.Errorf("%+v became %+v", action, got)
		}
	}
}

// TestOursAnImplausibleCaptureBeforeIsAbsent holds that a time to capture before that cannot be is
// taken as not said.
func TestOursAnImplausibleCaptureBeforeIsAbsent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for name, c := range map[string]struct {
			before time.Time
			absent bool
		}{
			"in the past":          {now.Add(-time.Second), true},
			"now":                  {now, true},
			"in the year 1":        {time.Time{}.Add(time.Hour), true},
			"in more than a year":  {now.Add(367 * 24 * time.Hour), true},
			"in the year 12000":    {time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), true},
			"in a week":            {now.Add(7 * 24 * time.Hour), false},
			"in just under a year": {now.Add(365 * 24 * time.Hour), false},
		} {
			o := approved()
			o.CaptureBefore = c.before
			got := guard(t, says(o), gateway.Settings{}).Do(t.Context(), authorization())
			if got.Kind != messages.OutcomeSucceeded || got.CaptureBefore.IsZero() != c.absent {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
}

// unstorable says why an outcome cannot be stored, "" if it can.
func unstorable(o messages.Outcome) string {
	words := map[string]string{"reference": o.GatewayReference, "detail": o.Detail, "rest": string(o.Rest), "kind": string(o.Kind)}
	if d := o.Decline; d != nil {
		words["code"], words["class"], words["action"] = d.Code, string(d.Class), string(d.RecommendedAction)
		words["network code"], words["advice"] = d.NetworkDeclineCode, d.NetworkAdviceCode
	}
	longest := map[string]int{"url": 2000}
	if a := o.NextAction; a != nil {
		words["type"], words["url"], words["secret"] = a.Type, a.URL, a.ClientSecret
	}
	for name, word := range words {
		switch {
		case !utf8.ValidString(word):
			return name + " is not UTF-8"
		case strings.ContainsFunc(word, unicode.IsControl):
			return name + " holds control characters"
		case utf8.RuneCountInString(word) > max(longest[name], 255):
			return name + " is too long"
		case messages.ContainsCardNumber([]byte(word)):
			return name + " holds a card number"
		}
	}
	if t := o.CaptureBefore; !t.IsZero() && (t.Year() < 2000 || t.Year() > 9999) {
		return "capture_before cannot be written"
	}
	return ""
}

// anyWord draws a word that a gateway may say, good and bad.
func anyWord() *rapid.Generator[string] {
	bad := rapid.SampledFrom([]string{"", "ref", "\x00", "\xff\xfe", "a\nb", cardNumber, "4111111111111111", "\u202e", strings.Repeat("é", 256)})
	pieces := rapid.SliceOfN(bad, 0, 3)
	joined := rapid.Map(pieces, func(all []string) string { return strings.Join(all, "") })
	return rapid.OneOf(bad, joined, rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
}

// TestOursEveryOutcomeThatLeavesTheGuardIsStorable drives random outcomes through Guards, as
// answers to calls and to lookups.
func TestOursEveryOutcomeThatLeavesTheGuardIsStorable(t *testing.T) {
	t.Parallel()
	word := anyWord()
	kinds := rapid.SampledFrom([]messages.OutcomeKind{
		messages.OutcomeSucceeded, messages.OutcomeDeclined, messages.OutcomeRequiresAction, messages.OutcomePending,
		messages.OutcomeNotSent, messages.OutcomeUnknown, messages.OutcomeNotFound, "\x00",
	})
	outcomes := rapid.Custom(func(t *rapid.T) messages.Outcome {
		o := messages.Outcome{
			Kind: kinds.Draw(t, "kind"), GatewayReference: word.Draw(t, "reference"), Detail: word.Draw(t, "detail"),
			AmountMinor: rapid.Int64().Draw(t, "amount"), Rest: messages.RestScope(word.Draw(t, "rest")),
			RetryAfter:    time.Duration(rapid.Int64().Draw(t, "retry after")),
			CaptureBefore: time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "capture before"), 0),
		}
		if o.Kind == messages.OutcomeDeclined || rapid.Bool().Draw(t, "stray decline") {
			o.Decline = &messages.Decline{
				Code: word.Draw(t, "code"), Class: messages.DeclineSoft, NetworkDeclineCode: word.Draw(t, "network"),
				NetworkAdviceCode: word.Draw(t, "advice"), RecommendedAction: messages.RecommendedAction(word.Draw(t, "action")),
			}
		}
		if o.Kind == messages.OutcomeRequiresAction {
			o.NextAction = &messages.NextAction{
				Type: rapid.OneOf(rapid.Just("redirect"), rapid.Just("three_d_secure"), word).Draw(t, "type"),
				URL:  rapid.Map(word, func(w string) string { return "https://bank.example/" + w }).Draw(t, "url"), ClientSecret: word.Draw(t, "secret"),
			}
		}
		return o
	})
	rapid.Check(t, func(rt *rapid.T) {
		said := outcomes.Draw(rt, "said")
		s := gateway.Settings{Retry: gateway.Retry{TriesMax: 2, Initial: time.Nanosecond, Max: time.Nanosecond}}
		for _, g := range []*gateway.Guard{guard(t, says(said), s), guard(t, says(unknown(), said), s)} {
			for _, ask := range []func(context.Context, messages.Operation) messages.Outcome{g.Do, g.Lookup} {
				if problem := unstorable(ask(t.Context(), authorization())); problem != "" {
					rt.Fatalf("%s", problem)
				}
			}
		}
	})
}

// TestOursTheGuardsOwnWordsKeepTheBound holds that the Guard does not lengthen a detail beyond the
// bound with words of its own.
func TestOursTheGuardsOwnWordsKeepTheBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		long := messages.Outcome{Kind: messages.OutcomeNotSent, Detail: strings.Repeat("é", 255)}
		doubt := long
		doubt.Kind = messages.OutcomeUnknown
		for name, o := range map[string]messages.Outcome{
			"a lookup":      guard(t, says(long), gateway.Settings{}).Lookup(t.Context(), authorization()),
			"several tries": guard(t, says(doubt, long), gateway.Settings{}).Do(t.Context(), authorization()),
		} {
			if problem := unstorable(o); problem != "" {
				t.Errorf("%s: %s", name, problem)
			}
		}
	})
}
