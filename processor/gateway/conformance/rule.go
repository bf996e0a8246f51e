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
		{"charge-succeeds", "an approved charge succeeds with a reference and no other amount", always, chargeSucceeds},
		{"replay-same-answer", "a replay under the same key is answered as the first request was", always, replaySameAnswer},
		{"replay-concurrent", "requests for one operation at the same time have one effect and one answer", always, replayConcurrent},
		{"key-reuse-refused", "the same key with other parameters is refused and changes nothing", always, keyReuseRefused},
		{"lookup-by-key", "a lookup by our key says what became of every kind of operation", always, lookupByKey},
		{"lookup-unknown-key", "a key that was never used is not found, and looking it up uses it in no way", always, lookupUnknownKey},
		{"lookup-in-progress", "an operation that has once been known is never not found again", needsSlow, lookupInProgress},
		{"partial-captures", "captures in parts add up to what was authorized and stop there", always, partialCaptures},
		{"over-capture-refused", "a capture of more than is left is declined and moves nothing", always, overCaptureRefused},
		{"final-capture-releases", "a final capture releases the rest", always, finalCaptureReleases},
		{"concurrent-captures", "captures at the same time stay within what was authorized", always, concurrentCaptures},
		{"void-releases", "a void releases the rest: no capture and no other void follows it", always, voidReleases},
		{"void-after-capture-refused", "a void of what is wholly captured is declined and gives nothing back", always, voidAfterCaptureRefused},
		{"partial-refunds", "refunds in parts add up to what was captured and stop there", always, partialRefunds},
		{"over-refund-refused", "a refund of more than is left of what was captured is declined", always, overRefundRefused},
		{"concurrent-refunds", "refunds at the same time stay within what was captured", always, concurrentRefunds},
		{"other-currency-refused", "nothing is captured or refunded in another currency than was authorized", always, otherCurrencyRefused},
		{"unknown-reference-refused", "what follows an authorization that does not exist is declined", always, unknownReferenceRefused},
		{"decline-stable", "a decline comes with its code, stays when it is replayed and is told by a lookup", needsDeclined, declineStable},
		{"challenge-confirmed", "a challenged authorization says where to go, holds no money before the confirm, and all of it after", needsChallenged, challengeConfirmed},
		{"abandoned-request", "a request whose client gives up is either not done or found by a lookup, and has one effect", always, abandonedRequest},
		{"slow-request", "an operation that takes longer than its client waits is done once, and told to who asks later", needsSlow, slowRequest},
		{"canceled-call", "a caller who has given up before the call is not told that anything was done", always, canceledCall},
		{"invalid-body", "a body that is no operation is refused as invalid_request", needsWire, invalidBody},
		{"required-fields", "an operation that lacks what it needs is refused as invalid_request and uses no key", needsWire, requiredFields},
		{"unknown-field", "a field that is not of the protocol is refused as invalid_request or ignored", needsWire, unknownField},
		{"credentials", "without the right key nothing is done and nothing is told", needsKey, credentials},
		{"health", "GET /healthz answers 200 to anyone", needsHTTP, health},
		{"operation-of-its-subject", "an operation on the subject of another kind is refused as invalid_request", needsNATS, operationOfItsSubject},
		{"deadline-passed", "a request that comes after its deadline is answered not_done and is not done", needsNATS, deadlinePassed},
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
	if t.reason != "" {
		result.Verdict, result.Reason, result.Evidence = Fail, t.reason, t.steps
	}
	return result
}

func always(*Target, Options) string { return "" }

func needsSlow(_ *Target, o Options) string { return card("slow", o.Cards.Slow) }

func needsDeclined(_ *Target, o Options) string { return card("declined", o.Cards.Declined) }

func needsChallenged(_ *Target, o Options) string { return card("challenged", o.Cards.Challenged) }

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
