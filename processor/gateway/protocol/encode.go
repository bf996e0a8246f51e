package protocol

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// Encode returns the reply that proves the outcome to a client, for a server whose gateway is a
// gateway.Gateway: [Exchange.Outcome] of it is the outcome again, its detail behind the code of a
// problem. An outcome that the protocol cannot express becomes unknown.
//
// A decline travels as its codes; the client's side classifies them anew (gateway.ClassifyDecline).
// Tries does not travel.
func (e Exchange) Encode(o messages.Outcome) Reply {
	switch o.Kind {
	case messages.OutcomeSucceeded, messages.OutcomeRequiresAction, messages.OutcomePending:
		return e.encodeAnswer(o)
	case messages.OutcomeDeclined:
		switch {
		case o.Decline == nil:
			return encodeProblem(CodeInternal, "declined without a decline", o)
		case o.Decline.Code == string(CodeInvalidRequest) && !e.Lookup:
			return encodeProblem(CodeInvalidRequest, o.Detail, o)
		default:
			return e.encodeAnswer(o)
		}
	case messages.OutcomeNotSent:
		return encodeProblem(CodeNotDone, o.Detail, o)
	case messages.OutcomeNotFound:
		if e.Lookup {
			return encodeProblem(CodeOperationNotFound, o.Detail, o)
		}
		return encodeProblem(CodeInternal, "not_found to a request that was not a lookup", o)
	case messages.OutcomeUnknown:
		return encodeProblem(CodeInternal, o.Detail, o)
	default:
		return encodeProblem(CodeInternal, fmt.Sprintf("unknown outcome %q", o.Kind), o)
	}
}

func (e Exchange) encodeAnswer(o messages.Outcome) Reply {
	status, ok := Status(o.Kind)
	if !ok {
		panic(fmt.Sprintf("no status for outcome %s", o.Kind))
	}
	a := Answer{
		OperationID: e.OperationID, Outcome: o.Kind, GatewayReference: o.GatewayReference, AmountMinor: o.AmountMinor,
		NextAction: o.NextAction, CaptureBefore: o.CaptureBefore,
	}
	if e.Lookup {
		a.Authorization = o.Authorization
	}
	if o.Decline != nil {
		a.DeclineCode, a.NetworkDeclineCode, a.NetworkAdviceCode = o.Decline.Code, o.Decline.NetworkDeclineCode, o.Decline.NetworkAdviceCode
	}
	body, err := json.Marshal(a)
	if err != nil {
		// The one thing that JSON cannot say is a year beyond 9999.
		return encodeProblem(CodeInternal, "the answer cannot be written: "+err.Error(), o)
	}
	return Reply{Status: status, Body: body, RetryAfter: o.RetryAfter}
}

func encodeProblem(code Code, message string, o messages.Outcome) Reply {
	status, ok := code.Status()
	if !ok {
		status = http.StatusInternalServerError
	}
	// A gateway that is itself a client of the protocol has the code in its detail already.
	message = strings.TrimPrefix(message, string(code)+": ")
	p := Problem{Code: code, Message: fit(message)}
	if o.RetryAfter > 0 {
		p.Rest = restOnWire(o.Rest)
	}
	return Reply{Status: status, Body: EncodeProblem(p), RetryAfter: o.RetryAfter}
}

// restOnWire returns a scope as the client of this server sees it. For the client a server that was
// too busy itself could not take this one operation.
func restOnWire(scope messages.RestScope) messages.RestScope {
	if scope == messages.RestLocal {
		return messages.RestOperation
	}
	return scope
}

// fit makes a detail fit to be sent: short, and without digits that look like a card number.
func fit(detail string) string { return string(messages.MaskCardNumbers([]byte(Shown(detail)))) }

// retryAfterMax is the longest rest a server is believed to want.
const retryAfterMax = 24 * time.Hour

// FormatRetryAfter returns the value of HeaderRetryAfter, in whole seconds rounded up; "" for no
// rest.
func FormatRetryAfter(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// ParseRetryAfter reads HeaderRetryAfter in whole seconds, the protocol's only form; 0 if it is
// something else. A rest over a day is taken for one day.
func ParseRetryAfter(s string) time.Duration {
	seconds, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, retryAfterMax)
}
