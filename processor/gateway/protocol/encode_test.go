package protocol_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// outcomes lists the answers of a gateway, with the client's reading of the reply where that
// differs.
func outcomes() map[string]struct {
	sent    messages.Outcome
	arrived messages.Outcome
} {
	type pair = struct {
		sent    messages.Outcome
		arrived messages.Outcome
	}
	same := func(o messages.Outcome) pair { return pair{o, o} }
	said := func(o messages.Outcome, detail string) pair {
		arrived := o
		arrived.Detail = detail
		return pair{o, arrived}
	}
	lost, invalid := gateway.ClassifyDecline("lost_card", "41", "03"), gateway.ClassifyDecline("invalid_request", "", "")
	return map[string]pair{
		"succeeded": same(messages.Outcome{
			Kind: messages.OutcomeSucceeded, GatewayReference: "ref", AmountMinor: 1999,
			CaptureBefore: time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC),
		}),
		"requires_action": same(messages.Outcome{
			Kind: messages.OutcomeRequiresAction, GatewayReference: "ref",
			NextAction: &messages.NextAction{Type: "redirect", URL: "https://bank.example"},
		}),
		"pending":         same(messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "ref"}),
		"declined":        same(messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &lost}),
		"invalid request": said(messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &invalid, Detail: "no kind"}, "invalid_request: no kind"),
		"not sent":        said(messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "dial", RetryAfter: time.Second, Rest: messages.RestGateway}, "not_done: dial"),
		"unknown":         said(messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "reset", RetryAfter: 5 * time.Second, Rest: messages.RestOperation}, "internal: reset"),
		"full": {
			messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "no place", RetryAfter: time.Second, Rest: messages.RestLocal},
			messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "not_done: no place", RetryAfter: time.Second, Rest: messages.RestOperation},
		},
		"through two of us": same(messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "not_done: dial"}),
		"not found": {
			messages.Outcome{Kind: messages.OutcomeNotFound},
			messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "internal: not_found to a request that was not a lookup"},
		},
		"declined without a decline": {
			messages.Outcome{Kind: messages.OutcomeDeclined},
			messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "internal: declined without a decline"},
		},
		"of no kind": {
			messages.Outcome{Kind: "done"},
			messages.Outcome{Kind: messages.OutcomeUnknown, Detail: `internal: unknown outcome "done"`},
		},
		"at a time that cannot be written": {
			messages.Outcome{Kind: messages.OutcomeSucceeded, CaptureBefore: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
			messages.Outcome{
				Kind:   messages.OutcomeUnknown,
				Detail: "internal: the answer cannot be written: json: error calling MarshalJSON for type time.Time: Time.MarshalJSON: year outside of range [0,9999]",
			},
		},
	}
}

func TestEncodedOutcomesArrive(t *testing.T) {
	t.Parallel()
	e := protocol.Exchange{OperationID: "op-1"}
	for name, o := range outcomes() {
		reply := e.Encode(o.sent)
		if diff := cmp.Diff(o.arrived, e.Outcome(reply)); diff != "" {
			t.Errorf("%s, with its status (-want +got):\n%s", name, diff)
		}
		read := protocol.ReadReply(reply.Body)
		read.RetryAfter = reply.RetryAfter
		if diff := cmp.Diff(reply, read); diff != "" {
			t.Errorf("%s: the body alone is another reply (-sent +read):\n%s", name, diff)
		}
	}
}

func TestEncodedLookupsArrive(t *testing.T) {
	t.Parallel()
	e := protocol.Exchange{OperationID: "op-1", Lookup: true}
	for kind, want := range map[messages.OutcomeKind]messages.OutcomeKind{
		messages.OutcomeSucceeded: messages.OutcomeSucceeded, messages.OutcomePending: messages.OutcomePending,
		messages.OutcomeNotFound: messages.OutcomeNotFound, messages.OutcomeUnknown: messages.OutcomeUnknown,
		// That the question went nowhere says nothing of the operation.
		messages.OutcomeNotSent: messages.OutcomeUnknown,
	} {
		if got := e.Outcome(e.Encode(messages.Outcome{Kind: kind})); got.Kind != want {
			t.Errorf("%s arrives as %s (%s), want %s", kind, got.Kind, got.Detail, want)
		}
	}
	// A recorded decline is an answer to a lookup, under every code.
	invalid := gateway.ClassifyDecline("invalid_request", "", "")
	if got := e.Outcome(e.Encode(messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &invalid})); got.Kind != messages.OutcomeDeclined {
		t.Errorf("a decline arrives as %s", got.Kind)
	}
}

func TestDetailsAreFitToBeSent(t *testing.T) {
	t.Parallel()
	e := protocol.Exchange{OperationID: "op-1"}
	body := e.Encode(messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "card 4242424242424242\n" + strings.Repeat("x", 10000)}).Body
	if len(body) > 1000 || bytes.Contains(body, []byte("4242424242424242")) {
		t.Errorf("%d bytes are sent: %.100s", len(body), body)
	}
}

func TestReadReplyOfSomethingElse(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"", "null", "{}", "[]", `{"stream":"ALL","seq":1}`, `{"outcome":"unknown"}`, `{"error":{"code":"odd"}}`,
		`{"operation_id":"op-1","outcome":"succeeded"}x`,
	} {
		reply := protocol.ReadReply([]byte(body))
		if o := (protocol.Exchange{OperationID: "op-1"}).Outcome(reply); o.Kind != messages.OutcomeUnknown || reply.Status != 0 {
			t.Errorf("%q has status %d and is %s", body, reply.Status, o.Kind)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 67, time.FixedZone("east", 3600))
	read, err := protocol.ParseDeadline(protocol.FormatDeadline(at))
	if err != nil || !read.Equal(at) {
		t.Errorf("deadline %s is read as %s, %v", at, read, err)
	}
	if none, err := protocol.ParseDeadline(""); err != nil || !none.IsZero() {
		t.Errorf("no deadline is read as %s, %v", none, err)
	}
	if _, err := protocol.ParseDeadline("tomorrow"); err == nil {
		t.Error("tomorrow is a deadline")
	}
	for rest, want := range map[time.Duration]string{-1: "", 0: "", 1: "1", time.Second: "1", 1500 * time.Millisecond: "2"} {
		if got := protocol.FormatRetryAfter(rest); got != want {
			t.Errorf("a rest of %s is %q, want %q", rest, got, want)
		}
	}
	for header, want := range map[string]time.Duration{"": 0, "x": 0, "-1": 0, "1.5": 0, "7": 7 * time.Second, "4000000000": 24 * time.Hour} {
		if got := protocol.ParseRetryAfter(header); got != want {
			t.Errorf("%q is a rest of %s, want %s", header, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"primary", "a", "0", "bank_2", "bank-2", strings.Repeat("x", 64)} {
		if err := protocol.ValidateName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "Bank", "a.b", "a b", "*", ">", "-a", "é", "a\n", strings.Repeat("x", 65)} {
		if err := protocol.ValidateName(name); err == nil {
			t.Errorf("%q is taken for the name of a gateway", name)
		}
	}
	if got, want := protocol.Subject("bank", protocol.EndpointLookup), "payments.gateway.bank.lookup"; got != want {
		t.Errorf("subject %s, want %s", got, want)
	}
}
