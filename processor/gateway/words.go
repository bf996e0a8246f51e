package gateway

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed-384b1f8a/tender/messages"
)

// The bounds of a gateway's words.
const (
	// wordLengthMax is the limit on a reference, a code, a client secret or a detail, in
	// characters.
	wordLengthMax = 255
	// urlLengthMax is the limit on a URL, in bytes.
	urlLengthMax = 2000
	// captureWithinMax is the longest plausible lifetime of an authorization.
	captureWithinMax = 366 * 24 * time.Hour
	// eventAgeMax is the longest plausible distance of an event, or of a deadline in it, from now.
	eventAgeMax = 10 * 366 * 24 * time.Hour
	// retryAfterMax is the longest rest that is passed on.
	retryAfterMax = 24 * time.Hour
)

// CleanOutcome makes an answer fit to be stored: every word in it is printable UTF-8 without
// control characters, bounded, and without card numbers. It is the one place where the words of an
// answer are judged; [CleanNotify] is its counterpart for notifications.
//
// An answer in which a needed word is unusable (a reference, a decline's code, a next action)
// becomes OutcomeUnknown with a detail that names the word: the gateway may have done it, and what
// it said cannot be recorded. A word that is not needed is masked or left out, and the outcome
// stands. A time to capture before that is implausible as of now is left out; so is a rest about
// nothing known.
func CleanOutcome(op messages.Operation, o messages.Outcome, now time.Time) messages.Outcome {
	if problem := neededWords(o); problem != "" {
		return messages.Outcome{
			Kind: messages.OutcomeUnknown, Detail: "the gateway's answer cannot be stored: " + problem, Tries: o.Tries, Latency: o.Latency,
		}
	}
	if unusable(o.GatewayReference) != "" {
		o.GatewayReference = "" // The outcome needs none.
	}
	o.Detail = plain(o.Detail)
	o.CaptureBefore = plausibleCapture(o.CaptureBefore, now)
	if o.Decline != nil {
		d := *o.Decline
		d.NetworkDeclineCode, d.NetworkAdviceCode = optional(d.NetworkDeclineCode), optional(d.NetworkAdviceCode)
		if !knownAction(d.RecommendedAction) {
			d.RecommendedAction = ""
		}
		o.Decline = &d
	}
	if op.Kind != messages.OperationAuthorize && op.Kind != messages.OperationConfirm {
		o.Authorization = nil
	}
	o.RetryAfter = min(max(o.RetryAfter, 0), retryAfterMax)
	o.Rest = restOf(o)
	return o
}

// CleanNotify makes the words of a notification fit to be stored, by the rules of [CleanOutcome].
// It changes n. It fails with the name of the word when a needed word is unusable: the notification
// is then for a person.
func CleanNotify(n *messages.Notify, now time.Time) error {
	needed := []struct{ name, word string }{
		{"event_id", n.EventID}, {"operation_id", n.OperationID}, {"gateway_reference", n.GatewayReference}, {"dispute_id", n.DisputeID},
	}
	for _, w := range needed {
		if problem := unusable(w.word); problem != "" {
			return fmt.Errorf("%s %s", w.name, problem)
		}
	}
	if n.Outcome == messages.OutcomeDeclined {
		if problem := unusable(n.DeclineCode); problem != "" {
			return fmt.Errorf("decline_code %s", problem)
		}
	}
	n.DeclineCode = plain(n.DeclineCode)
	if n.Outcome == messages.OutcomeRequiresAction {
		action := messages.NextAction{Type: n.NextActionType, URL: n.NextActionURL}
		if problem := actionProblem(&action); problem != "" {
			return fmt.Errorf("%s", problem)
		}
	}
	n.Reason = plain(n.Reason)
	n.CaptureBefore = plausibleCapture(n.CaptureBefore, now)
	n.OccurredAt, n.RespondBefore = plausible(n.OccurredAt, now), plausible(n.RespondBefore, now)
	return nil
}

// neededWords names the first word that the outcome needs and that cannot be stored, "" if there is
// none.
func neededWords(o messages.Outcome) string {
	switch o.Kind {
	case messages.OutcomeSucceeded, messages.OutcomeRequiresAction, messages.OutcomePending:
		if problem := unusable(o.GatewayReference); problem != "" {
			return "gateway_reference " + problem
		}
	case messages.OutcomeDeclined, messages.OutcomeNotSent, messages.OutcomeUnknown, messages.OutcomeNotFound:
	}
	if o.Decline != nil {
		if problem := unusable(o.Decline.Code); problem != "" {
			return "decline_code " + problem
		}
	}
	if o.NextAction != nil {
		return actionProblem(o.NextAction)
	}
	return ""
}

// The types of a next action.
const (
	actionRedirect     = "redirect"
	actionThreeDSecure = "three_d_secure"
)

// actionProblem names what is wrong with the words of a next action, "" if nothing is.
func actionProblem(a *messages.NextAction) string {
	switch {
	case a.Type != actionRedirect && a.Type != actionThreeDSecure:
		return fmt.Sprintf("next_action.type is %q, which is neither %s nor %s", plain(a.Type), actionRedirect, actionThreeDSecure)
	case a.Type == actionRedirect && a.URL == "":
		return "next_action.url is missing from a redirect"
	}
	if problem := unusable(a.ClientSecret); problem != "" {
		return "next_action.client_secret " + problem
	}
	if problem := unusableURL(a.URL); a.URL != "" && problem != "" {
		return "next_action.url " + problem
	}
	return ""
}

// unusable says why a word cannot be stored as it is, "" if it can.
func unusable(word string) string {
	switch {
	case !utf8.ValidString(word):
		return "is not UTF-8"
	case utf8.RuneCountInString(word) > wordLengthMax:
		return fmt.Sprintf("is longer than %d characters", wordLengthMax)
	case strings.ContainsFunc(word, unprintable):
		return "holds control characters"
	case messages.ContainsCardNumber([]byte(word)):
		return "holds a card number"
	default:
		return ""
	}
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// unusableURL says why a customer cannot be sent to a URL, "" if they can. Plain http is for tests
// on one machine.
func unusableURL(raw string) string {
	if len(raw) > urlLengthMax {
		return fmt.Sprintf("is longer than %d bytes", urlLengthMax)
	}
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] > '~' {
			return "must be of visible ASCII characters without spaces"
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "" || u.User != nil:
		return "must be the address of a page, without a user"
	case u.Scheme != "https" && (u.Scheme != "http" || !thisMachine(u.Hostname())):
		return "must be https"
	}
	for _, text := range []string{raw, u.Path, u.Fragment} {
		if messages.ContainsCardNumber([]byte(text)) {
			return "holds a card number"
		}
	}
	for _, values := range u.Query() {
		for _, value := range values {
			if messages.ContainsCardNumber([]byte(value)) {
				return "holds a card number"
			}
		}
	}
	return ""
}

// thisMachine reports whether a host is the one that this process runs on.
func thisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
}

// optional is a word that may be left out: it is, when it cannot be stored.
func optional(word string) string {
	if unusable(word) != "" {
		return ""
	}
	return word
}

// plain makes a text for people fit to be stored: printable, short, card numbers masked.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if unprintable(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if runes := []rune(text); len(runes) > wordLengthMax {
		text = string(runes[:wordLengthMax-1]) + "…"
	}
	return string(messages.MaskCardNumbers([]byte(text)))
}

// plausibleCapture returns the time in UTC, or the zero time when no authorization can end then.
func plausibleCapture(t, now time.Time) time.Time {
	if !t.After(now) || t.After(now.Add(captureWithinMax)) {
		return time.Time{}
	}
	return t.UTC()
}

// plausible returns the time in UTC, or the zero time when nothing of a payment can be then.
func plausible(t, now time.Time) time.Time {
	if t.Before(now.Add(-eventAgeMax)) || t.After(now.Add(eventAgeMax)) {
		return time.Time{}
	}
	return t.UTC()
}

// restOf returns the scope of the rest that an outcome asks for. A gateway that has not done the
// operation and does not say what its rest is about takes no calls; one whose answer is open speaks
// of the operation.
func restOf(o messages.Outcome) messages.RestScope {
	if o.RetryAfter == 0 {
		return ""
	}
	switch o.Rest {
	case messages.RestOperation, messages.RestGateway, messages.RestCredentials, messages.RestLocal:
		return o.Rest
	}
	if o.Kind == messages.OutcomeNotSent {
		return messages.RestGateway
	}
	return messages.RestOperation
}

func knownAction(a messages.RecommendedAction) bool {
	switch a {
	case "", messages.ActionDoNotRetry, messages.ActionRetryLater, messages.ActionRetryAfter1Hour, messages.ActionRetryAfter24Hours,
		messages.ActionRetryAfter2Days, messages.ActionRetryAfter4Days, messages.ActionRetryAfter6Days, messages.ActionRetryAfter8Days,
		messages.ActionRetryAfter10Days, messages.ActionRetryAfterInstrumentUpdate, messages.ActionRetryWithDifferentMethod,
		messages.ActionStopRecurring:
		return true
	default:
		return false
	}
}
