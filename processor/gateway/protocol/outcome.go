package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// credentialsRest is the time for which a client leaves a server alone that turned its credentials
// away: trying again at once would bring the same.
const credentialsRest = 10 * time.Second

// messageRunesMax is the longest part of a server's or an error's own words in an outcome's
// detail.
const messageRunesMax = 200

// Exchange is the question to which a reply belongs.
type Exchange struct {
	OperationID string
	// Lookup is set for a lookup of the operation, not for a request to do it.
	Lookup bool
}

// Reply is a server's reply, read to its end.
type Reply struct {
	// Status is that of HTTP, also for a reply over NATS.
	Status     int
	Body       []byte
	RetryAfter time.Duration
}

// IsAnswer reports whether the reply's status is that of an [Answer].
func (r Reply) IsAnswer() bool {
	return r.Status == http.StatusOK || r.Status == http.StatusAccepted || r.Status == http.StatusPaymentRequired
}

// Outcome returns the outcome that a reply proves. It never fails: a reply that is not proper in
// the protocol proves nothing and is unknown.
func (e Exchange) Outcome(r Reply) messages.Outcome {
	if r.IsAnswer() {
		a, err := decodeAnswer(r.Body)
		if err != nil {
			return unknown("the gateway answered %d with %v", r.Status, err)
		}
		if status, ok := Status(a.Outcome); !ok || status != r.Status {
			return unknown("the gateway answered %d with outcome %q", r.Status, Shown(string(a.Outcome)))
		}
		return e.Answered(a)
	}
	p, err := DecodeProblem(r.Body)
	if err != nil {
		return withRest(unknown("the gateway answered %d, which is not of its protocol", r.Status), r.RetryAfter, messages.RestGateway)
	}
	if status, ok := p.Code.Status(); !ok || status != r.Status {
		return withRest(unknown("the gateway answered %d with code %q", r.Status, Shown(string(p.Code))), r.RetryAfter, messages.RestGateway)
	}
	return e.Refused(p, r.RetryAfter)
}

func decodeAnswer(body []byte) (Answer, error) {
	var a Answer
	if err := decodeOne(json.NewDecoder(bytes.NewReader(body)), &a); err != nil {
		return Answer{}, err
	}
	return a, nil
}

// Answered returns the outcome that an answer proves. A success that tells no amount remains a
// success with an AmountMinor of 0. That proves how much was moved of a void only, which releases
// the rest. The state of an authorization counts in the answer to a lookup only, and only if no sum
// is negative.
func (e Exchange) Answered(a Answer) messages.Outcome {
	if a.OperationID != e.OperationID {
		return unknown("the gateway answered about operation %q", Shown(a.OperationID))
	}
	o := messages.Outcome{
		Kind: a.Outcome, GatewayReference: a.GatewayReference, AmountMinor: a.AmountMinor,
		NextAction: a.NextAction, CaptureBefore: a.CaptureBefore,
	}
	if state := a.Authorization; e.Lookup && state != nil && state.CapturedMinor >= 0 && state.ReleasedMinor >= 0 {
		o.Authorization = state
	}
	switch {
	case a.Outcome == messages.OutcomeDeclined && a.DeclineCode == "":
		return unknown("the gateway declined without a code")
	case a.Outcome == messages.OutcomeDeclined:
		d := gateway.ClassifyDecline(a.DeclineCode, a.NetworkDeclineCode, a.NetworkAdviceCode)
		o.Decline = &d
	case a.DeclineCode != "":
		return unknown("the gateway answered %s with decline code %q", a.Outcome, Shown(a.DeclineCode))
	}
	return o
}

// Refused returns the outcome that a problem proves.
func (e Exchange) Refused(p Problem, retryAfter time.Duration) messages.Outcome {
	detail := fmt.Sprintf("%s: %s", p.Code, Shown(p.Message))
	if p.Message == "" {
		detail = string(p.Code)
	}
	switch {
	case p.Code == CodeInvalidRequest && !e.Lookup:
		d := gateway.ClassifyDecline(string(CodeInvalidRequest), "", "")
		return messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &d, Detail: detail}
	case p.Code == CodeNotDone && !e.Lookup:
		return withRest(messages.Outcome{Kind: messages.OutcomeNotSent, Detail: detail}, retryAfter, p.restScope())
	case p.Code == CodeUnauthorized && !e.Lookup:
		return withRest(messages.Outcome{Kind: messages.OutcomeNotSent, Detail: detail}, max(retryAfter, credentialsRest), p.restScope())
	case p.Code == CodeUnauthorized:
		return withRest(unknown("%s", detail), max(retryAfter, credentialsRest), p.restScope())
	case p.Code == CodeOperationNotFound && e.Lookup:
		return messages.Outcome{Kind: messages.OutcomeNotFound, Detail: detail}
	default:
		return withRest(unknown("%s", detail), retryAfter, p.restScope())
	}
}

// withRest adds a rest and what it is about; no rest is about nothing.
func withRest(o messages.Outcome, rest time.Duration, scope messages.RestScope) messages.Outcome {
	if rest > 0 {
		o.RetryAfter, o.Rest = rest, scope
	}
	return o
}

func unknown(format string, args ...any) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf(format, args...)}
}

// Shown makes the words of a server or of an error fit to be kept in an outcome's detail: printable
// and short.
func Shown(s string) string {
	printable := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
	if runes := []rune(printable); len(runes) > messageRunesMax {
		return string(runes[:messageRunesMax]) + "…"
	}
	return printable
}
