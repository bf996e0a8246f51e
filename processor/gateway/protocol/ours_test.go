package protocol_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// TestOursARestSaysWhatItIsAbout: one operation that is stuck (409 with Retry-After) rested a whole
// gateway for all tenants.
func TestOursARestSaysWhatItIsAbout(t *testing.T) {
	t.Parallel()
	e := protocol.Exchange{OperationID: "op-1"}
	for _, c := range []struct {
		code protocol.Code
		rest messages.RestScope
		want messages.RestScope
	}{
		{protocol.CodeInProgress, "", messages.RestOperation},
		{protocol.CodeNotDone, "", messages.RestOperation},
		{protocol.CodeIdempotencyConflict, "", messages.RestOperation},
		{protocol.CodeRateLimited, "", messages.RestGateway},
		{protocol.CodeUnavailable, "", messages.RestGateway},
		{protocol.CodeInternal, "", messages.RestGateway},
		{protocol.CodeUnauthorized, "", messages.RestCredentials},
		{protocol.CodeNotDone, messages.RestGateway, messages.RestGateway},
		{protocol.CodeRateLimited, messages.RestOperation, messages.RestOperation},
		{protocol.CodeRateLimited, messages.RestCredentials, messages.RestCredentials},
		// Scopes that are not of the protocol.
		{protocol.CodeRateLimited, messages.RestLocal, messages.RestGateway},
		{protocol.CodeNotDone, "everything", messages.RestOperation},
	} {
		status, _ := c.code.Status()
		body := protocol.EncodeProblem(protocol.Problem{Code: c.code, Rest: c.rest})
		for _, lookup := range []bool{false, true} {
			e.Lookup = lookup
			o := e.Outcome(protocol.Reply{Status: status, Body: body, RetryAfter: time.Minute})
			if o.Rest != c.want || o.RetryAfter != time.Minute {
				t.Errorf("%s with rest %q (lookup: %t) rests %q for %s, want %q", c.code, c.rest, lookup, o.Rest, o.RetryAfter, c.want)
			}
			if o := e.Outcome(protocol.Reply{Status: status, Body: body}); o.Rest != "" && o.RetryAfter == 0 {
				t.Errorf("%s without Retry-After rests %q for no time", c.code, o.Rest)
			}
		}
	}
	e.Lookup = false
	page := e.Outcome(protocol.Reply{Status: http.StatusBadGateway, Body: []byte("<html/>"), RetryAfter: time.Minute})
	if page.Kind != messages.OutcomeUnknown || page.Rest != messages.RestGateway {
		t.Errorf("a page of a proxy in front of the server is %+v, want unknown and a rest of the gateway", page)
	}
}

// TestOursALookupTellsTheAuthorization: a void that was refused could not be told from one that was
// not needed.
func TestOursALookupTellsTheAuthorization(t *testing.T) {
	t.Parallel()
	state := &messages.AuthorizationState{CapturedMinor: 600, ReleasedMinor: 400}
	sent := messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "ref", AmountMinor: 1000, Authorization: state}
	lookup := protocol.Exchange{OperationID: "op-1", Lookup: true}
	if diff := cmp.Diff(sent, lookup.Outcome(lookup.Encode(sent))); diff != "" {
		t.Errorf("(-sent +arrived):\n%s", diff)
	}
	// Only a lookup tells it, and only what can be.
	do := protocol.Exchange{OperationID: "op-1"}
	if o := do.Outcome(lookup.Encode(sent)); o.Kind != messages.OutcomeSucceeded || o.Authorization != nil {
		t.Errorf("the answer to a request says %+v", o.Authorization)
	}
	for _, impossible := range []messages.AuthorizationState{{CapturedMinor: -1}, {ReleasedMinor: -1}} {
		o := lookup.Answered(protocol.Answer{OperationID: "op-1", Outcome: messages.OutcomeSucceeded, AmountMinor: 1000, Authorization: &impossible})
		if o.Kind != messages.OutcomeSucceeded || o.Authorization != nil {
			t.Errorf("%+v is taken for the state of an authorization", o.Authorization)
		}
	}
}

// TestOursASuccessWithoutAnAmountSaysNoAmount: it was booked as the amount that was asked for. The
// client leaves it at 0, which proves nothing.
func TestOursASuccessWithoutAnAmountSaysNoAmount(t *testing.T) {
	t.Parallel()
	for _, lookup := range []bool{false, true} {
		e := protocol.Exchange{OperationID: "op-1", Lookup: lookup}
		o := e.Outcome(protocol.Reply{Status: http.StatusOK, Body: []byte(`{"operation_id":"op-1","outcome":"succeeded","gateway_reference":"ref"}`)})
		if o.Kind != messages.OutcomeSucceeded || o.AmountMinor != 0 {
			t.Errorf("%+v, want succeeded over 0", o)
		}
	}
}

// TestOursAFieldIsThereOnce: of two amounts the last counted, and AMOUNT_MINOR was an amount, too.
func TestOursAFieldIsThereOnce(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"twice":             `{"operation_id":"op-1","amount_minor":1,"amount_minor":2}`,
		"in other letters":  `{"operation_id":"op-1","AMOUNT_MINOR":2}`,
		"null":              `{"operation_id":"op-1","payment_id":null}`,
		"twice, by escapes": `{"amount_minor":1,"amount\u005fminor":2}`,
		"of a list":         `[{"amount_minor":1}]`,
		"that has no end":   `{"amount_minor":1`,
	} {
		if op, err := protocol.DecodeOperation([]byte(body)); err == nil {
			t.Errorf("a field %s is taken: %+v", name, op)
		}
	}
}
