// Package routing owns the choice of the gateway that a new authorization goes to: ordered rules,
// what they match on, the weights of the gateways they name, and which set of rules is in force.
//
// A set is a YAML document (JSON is YAML too):
//
//	version: 1
//	rules:
//	  - name: eu-cards
//	    match:
//	      tenant: acme                  # one value, or a list of which any will do
//	      currency: [EUR, GBP]
//	      amount_minor_min: 100         # in minor units, the bounds included; with currencies of one exponent only
//	      amount_minor_max: 500000
//	      payment_method: pm_card_*     # exact, or everything that begins like this
//	      country: DE
//	      metadata: {channel: web}      # every key with exactly this value
//	    to:
//	      - {gateway: primary, weight: 99}
//	      - {gateway: candidate, weight: 1}
//	    failover: {to: [primary, backup], on_decline: false}
//	  - name: everything-else
//	    to:
//	      - gateway: primary
//
// The first rule whose conditions all hold decides; a rule without conditions takes every payment.
// A payment that no rule takes fails with the code no_gateway.
//
// Among a rule's gateways the payment's own id decides, by [Rules.Route]: the same payment under
// the same rule goes to the same gateway in every process, every version and every try. As long as
// a list keeps its order and its sum, raising the last weight moves payments to the last gateway
// and none away from it, so that a canary grows: 99 and 1, then 95 and 5.
//
// A weight of 0 drains a gateway: it gets no new payments, and is not a default failover either.
// What it has authorized is captured, voided and refunded there all the same, and a rule may still
// name it under failover.
//
// Without failover.to a payment may turn to the other gateways of the list that are not drained,
// the heaviest first; an empty list turns to none. Failover stays among gateways that share their
// tokens (gateways.<name>.tokens): to any other, the payment method means nothing. A rule that
// names a failover beyond that is refused. This package names gateways and their order.
// Whether a payment may turn to another one is decided by package payment, from proof alone: no
// rule can make it unsafe.
//
// A set is taken whole or refused whole, with the line and the column of every mistake ([Parse]).
// The sets in force come from the configuration, and over it from a NATS key-value bucket that
// every process watches ([Live]). A set in the bucket that is refused changes nothing: the last
// good one stays in force.
//
// On a server with permissions, a process that follows the bucket needs to publish to
//
//	$JS.API.STREAM.INFO.KV_tender_routing
//	$JS.API.CONSUMER.CREATE.KV_tender_routing.>
//	$JS.API.CONSUMER.DELETE.KV_tender_routing.*
//	$JS.API.DIRECT.GET.KV_tender_routing.$KV.tender_routing.rules
//	$JS.FC.KV_tender_routing.>
//
// and an operator who sets rules to $KV.tender_routing.> as well. A test holds the first list to be
// enough. The right to delete is for leaving without a trace; $JS.FC is where NATS has a busy watch
// answer.
//
// The package must not call a gateway, and knows nothing of its health.
package routing
