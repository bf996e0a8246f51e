package conformance

import (
	"context"
	"fmt"
)

// Rule is one demand on a server.
type Rule struct {
	// Name does not change from one version to the next.
	Name string
	// Demand is the rule in one line.
	Demand string
	needs  func(*Target, Options) string
	try    func(context.Context, *trial)
}

// Rules returns all rules in the order in which they are checked.
func Rules() []Rule {
	return []Rule{
		{"charge-succeeds", "an approved charge succeeds with a reference", always, chargeSucceeds},
		{"amounts-told", "every success says how much was moved, and a lookup says the same", always, amountsTold},
		{"replay-same-answer", "a replay under the same key gets the first answer", always, replaySameAnswer},
		{"race-authorize", "authorizing at the same time under one key has one effect and answer", always, raceAuthorize},
		{"race-confirm", "confirming at the same time under one key has one effect and answer", needsChallenged, raceConfirm},
		{"race-capture", "capturing at the same time under one key has one effect and answer", always, raceCapture},
		{"race-void", "voiding at the same time under one key has one effect and answer", always, raceVoid},
		{"race-refund", "refunding at the same time under one key has one effect and answer", always, raceRefund},
		{"key-reuse-refused", "a key with any other parameter is refused and changes nothing", always, keyReuseRefused},
		{"tenants-apart", "an operation id of another tenant is another operation", needsTenants, tenantsApart},
		{"lookup-by-key", "a lookup says what became of every kind of operation", always, lookupByKey},
		{"lookup-unknown-key", "a key never used is not found, and a lookup does not use it up", always, lookupUnknownKey},
		{"lookup-in-progress", "an operation once known is never not found again", needsSlow, lookupInProgress},
		{"lookup-authorization", "a lookup tells an authorization's sums as they are, if at all", always, lookupAuthorization},
		{"partial-captures", "captures in parts add up to what was authorized and stop there", always, partialCaptures},
		{"over-capture-refused", "a capture of more than is left is declined, at every size", always, overCaptureRefused},
		{"final-capture-releases", "a final capture releases the rest", always, finalCaptureReleases},
		{"concurrent-captures", "captures at the same time stay within what was authorized", always, concurrentCaptures},
		{"capture-against-void", "of a capture of all and a void at the same time one wins", always, captureAgainstVoid},
		{"lapsed-not-captured", "nothing is captured after capture_before", needsLapsing, lapsedNotCaptured},
		{"void-releases", "a void releases the rest: no capture and no other void follows", always, voidReleases},
		{"void-after-capture-refused", "a void of what is captured is declined and gives nothing back", always, voidAfterCaptureRefused},
		{"partial-refunds", "refunds in parts add up to what was captured and stop there", always, partialRefunds},
		{"over-refund-refused", "a refund of more than is left is declined, at every size", always, overRefundRefused},
		{"concurrent-refunds", "refunds at the same time stay within what was captured", always, concurrentRefunds},
		{"other-currency-refused", "nothing is captured or refunded in another currency", always, otherCurrencyRefused},
		{"unknown-reference-refused", "what follows an authorization that does not exist is declined", always, unknownReferenceRefused},
		{"decline-stable", "a decline has a code, and a replay and a lookup repeat it", needsDeclined, declineStable},
		{"challenge-confirmed", "a challenged authorization holds no money before the confirm", needsChallenged, challengeConfirmed},
		{"next-action-usable", "a next action is of a known type, with an https URL or a secret", needsChallenged, nextActionUsable},
		{"abandoned-request", "a request whose client gives up has one effect at most", always, abandonedRequest},
		{"slow-request", "an operation that outlasts its client is done once, and told later", needsSlow, slowRequest},
		{"canceled-call", "a caller who gave up before is not told of anything done", always, canceledCall},
		{"invalid-body", "a body that is no operation is refused as invalid_request", needsWire, invalidBody},
		{"duplicate-fields", "a field that is there twice is refused as invalid_request", needsWire, duplicateFields},
		{"required-fields", "what lacks a field is refused as invalid_request and uses no key", needsWire, requiredFields},
		{"unknown-field", "a field not of the protocol is refused or ignored", needsWire, unknownField},
		{"content-type", "a body that is not application/json is refused", needsHTTP, otherContentType},
		{"credentials", "without the right key nothing is done and nothing is told", needsKey, credentials},
		{"health", "GET /healthz answers 200 to anyone", needsHTTP, health},
		{"operation-of-its-subject", "an operation on the subject of another kind is refused", needsNATS, operationOfItsSubject},
		{"deadline-passed", "a request after its deadline is answered not_done, and is not done", needsNATS, deadlinePassed},
		{"webhook-signed", "every event is signed over its body, with the time", needsWebhooks, webhookSigned},
		{"webhook-tells", "events say what the answers said, each under an id of its own", needsWebhooks, webhookTells},
		{"webhook-repeated", "an event that is not taken is sent again under the same id", needsWebhooks, webhookRepeated},
		{"replies-as-described", "every reply of the whole run is as the OpenAPI document has it", needsWire, repliesAsDescribed},
		{"restart-remembers", "a restart forgets no key, no answer and no limit", needsRestart, restartRemembers},
	}
}

// check finds out whether the target keeps the rule.
func (r Rule) check(ctx context.Context, target *Target, o Options) Result {
	result := Result{Rule: r.Name, Demand: r.Demand, Verdict: Pass}
	if lacking := r.needs(target, o); lacking != "" {
		result.Verdict, result.Reason = LeftOut, lacking
		return result
	}
	t := &trial{target: target, options: o}
	r.try(ctx, t)
	switch {
	case t.reason != "":
		result.Verdict, result.Reason, result.Evidence = Fail, t.reason, t.steps
	case t.lacking != "":
		result.Verdict, result.Reason = LeftOut, t.lacking
	}
	return result
}

func always(*Target, Options) string { return "" }

func needsSlow(_ *Target, o Options) string { return card("slow", o.Cards.Slow) }

func needsDeclined(_ *Target, o Options) string { return card("declined", o.Cards.Declined) }

func needsChallenged(_ *Target, o Options) string { return card("challenged", o.Cards.Challenged) }

func needsLapsing(_ *Target, o Options) string { return card("lapsing", o.Cards.Lapsing) }

func needsTenants(_ *Target, o Options) string {
	if o.OtherTenant == OneTenant {
		return "the server has one tenant only"
	}
	return ""
}

func needsWebhooks(_ *Target, o Options) string {
	if o.Webhooks == nil {
		return "no receiver of webhooks is listening"
	}
	return ""
}

func needsRestart(_ *Target, o Options) string {
	if o.Restart == nil {
		return "no way to restart the server is given"
	}
	return ""
}

func card(name, value string) string {
	if value == "" {
		return fmt.Sprintf("no %s card is named", name)
	}
	return ""
}

func needsWire(target *Target, _ Options) string {
	if target.wire == nil {
		return "the gateway is in process: there is no wire"
	}
	return ""
}

func needsHTTP(target *Target, _ Options) string {
	if target.http == nil {
		return "not over HTTP"
	}
	return ""
}

func needsNATS(target *Target, _ Options) string {
	if target.nats == nil {
		return "not over NATS"
	}
	return ""
}

func needsKey(target *Target, o Options) string {
	if lacking := needsHTTP(target, o); lacking != "" {
		return lacking
	}
	if target.http.apiKey == "" {
		return "no API key is named"
	}
	return ""
}
