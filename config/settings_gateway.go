package config

// gatewaySettings lists the settings of one gateway under a prefix such as "gateways.primary.". No key may end like another
// one behind an underscore: the name before it would be ambiguous in a variable (a test holds this).
func gatewaySettings(prefix string, g *Gateway) []setting {
	all := []setting{
		{"kind", "What speaks to it: http (Tender's gateway protocol, as `tenderlab simulator` speaks it), nats (a connector that answers over NATS), stripe or sim (the simulator inside this process, with allow_simulator only). Required.", oneOf(&g.Kind, gatewayKinds())},
		{"url", "Base address, http:// or https://. Required for the kind http; for stripe, empty is Stripe's own.", location(&g.URL)},
		{"connector", "Name under which the connector answers, for the kind nats; empty: the gateway's own.", text(&g.Connector, "text")},
		{"api_key", "Key sent with every call; empty for none. Required for the kind stripe.", secret(&g.APIKey)},
		{"stripe.account", "Connected account to act for, acct_…; empty: one's own.", text(&g.Stripe.Account, "text")},
		{"stripe.return_to", "Where Stripe sends the customer back to after an action.", text(&g.Stripe.ReturnURL, "URL")},
		{"stripe.multicapture", "Whether the account may capture in several parts.", yesNo(&g.Stripe.Multicapture)},
		{"webhook_secret", "Secret that its webhooks are signed with; empty: it has none. Two, separated by a comma, while one replaces the other.", secret(&g.WebhookSecret)},
		{"timeouts.authorize", "Longest wait for the answer to one authorization, connecting included.", duration(&g.Timeouts.Authorize)},
		{"timeouts.capture", "The same for a capture.", duration(&g.Timeouts.Capture)},
		{"timeouts.void", "The same for a void.", duration(&g.Timeouts.Void)},
		{"timeouts.refund", "The same for a refund.", duration(&g.Timeouts.Refund)},
		{"timeouts.lookup", "The same for a lookup of an earlier operation.", duration(&g.Timeouts.Lookup)},
		{"concurrency_max", "Calls at once, per process. With several gateways keep it below worker.slots_max, so that a slow one starves nobody.", whole(&g.ConcurrencyMax, "count")},
		{"queue_wait", "How long a call waits for a free place and for its turn under rate before it is parked. Longer holds commands back on the bus instead, and their slots with them.", duration(&g.QueueWait)},
		{"rate.per_second", "Calls in a second at most, per process: the provider's own limit, divided among the workers; may be less than 1. What waits longer than queue_wait is parked. 0: no limit.", ratio(&g.Rate.PerSecond)},
		{"rate.burst", "Calls in one moment after a rest. 1 keeps within the provider's limit however it counts.", whole(&g.Rate.Burst, "count")},
		{"retry.tries_max", "Quick tries of one call, the first included; all under the same idempotency key.", whole(&g.Retry.TriesMax, "count")},
		{"retry.initial", "First wait between them; grows each time.", duration(&g.Retry.Initial)},
		{"retry.max", "Longest wait between them.", duration(&g.Retry.Max)},
		{"breaker.failure_ratio", "Failed share of the calls in the window that opens the breaker: over 0, at most 1. Declines are not failures.", ratio(&g.Breaker.FailureRatio)},
		{"breaker.requests_min", "Calls in the window before the ratio counts.", whole(&g.Breaker.RequestsMin, "count")},
		{"breaker.window", "How far back calls are counted.", duration(&g.Breaker.Window)},
		{"breaker.open_for", "How long the gateway is left alone once the breaker opened.", duration(&g.Breaker.OpenFor)},
		{"breaker.probes_max", "Calls let through at once to see whether it is back.", whole(&g.Breaker.ProbesMax, "count")},
	}
	for i := range all {
		all[i].key = prefix + all[i].key
	}
	return all
}
