// Package stripegw makes payments at Stripe: a gateway.Gateway over PaymentIntents and refunds, on
// the official client stripe-go.
//
// It owns the translation between operations and Stripe's API: amounts, idempotency keys,
// metadata, states, declines. It must not retry (stripe-go's own retries and its telemetry are
// off), must not keep anything between calls, and lets no key into an outcome, and a client
// secret only into a next action. It takes card payment methods ("pm_…"); a customer id that is
// Stripe's own ("cus_…") is passed on.
//
//	g, err := stripegw.New(stripegw.Config{
//		APIKey:    key, // sk_live_… or a restricted key for PaymentIntents, Charges and Refunds
//		ReturnURL: "https://shop.example/checkout/done",
//	})
//
// A gateway is then put behind a gateway.Guard, which bounds it and retries.
//
// # Operations
//
// An authorize creates and confirms a PaymentIntent, whose id is the reference of everything that
// follows. Confirmation is manual: after the customer has authenticated nothing moves until a
// confirm, which first looks whether the customer is done. Without a return URL the next action
// is three_d_secure with the client secret, for handleNextAction of Stripe.js. Captures name
// their amount; one that is not final needs multicapture, which the account must have (see
// [Config]). A void cancels the PaymentIntent. Refunds have ids of their own.
//
// Every PaymentIntent and refund carries metadata that webhooks and lookups map back by:
// tender_payment_id, tender_operation_id and tender_tenant. A capture leaves its mark on the
// PaymentIntent, tender_capture_<number of the operation> with the amount in Stripe's unit. Stripe
// keeps 50 keys, which is room for 47 captures.
//
// # Never twice
//
// Every mutating call carries the operation's tenant and id as Stripe's idempotency key. Stripe
// keeps a key for at least 24 hours and may then do the request again
// (https://docs.stripe.com/api/idempotent_requests). So an attempt after the first looks the
// earlier ones up before it sends anything. The exception is an authorize of a payment whose id
// (UUID version 7) is younger than 20 hours: Stripe knows the key, and answers as it did first. A
// caller that repeats Do within one attempt must stop within 24 hours, and go on with Lookup.
//
// # Proof in an answer
//
// Statuses follow https://docs.stripe.com/error-low-level.
//
//	200            as the object's state says; an object that is not about the operation is unknown
//	400, 404       invalid_request_error: declined and nothing was done, unless the state shows that an earlier request
//	               of the same operation succeeded. idempotency_error: the key was used with other parameters, unknown
//	401            not sent: the key is checked before anything else
//	402            declined by the card's issuer or by Stripe for it
//	403            unknown: a restricted key may lack only the right to see the result
//	409, 429       unknown, with Retry-After: both a key in use and a lock are met behind the idempotency layer
//	5xx            unknown, also if Stripe-Should-Retry advises otherwise
//
// The rest that goes with it is the operation's for a 409, a lock and the reason resource-specific
// in Stripe-Rate-Limited-Reason; that of the credentials for a 401 and the reasons global-rate and
// global-concurrency; and the gateway's for all other limits and for a 5xx. A limit without a
// Retry-After rests for a second.
//
// Everything else, a redirect, a body that is not Stripe's, one over a megabyte, is unknown; so is
// every fault after the request had a connection.
//
// # Lookups
//
// An authorize is found by listing the PaymentIntents of the time and matching their metadata,
// beginning with the moments after the payment's id was made (the clock that made it may be five
// minutes off); the PaymentIntent that it finds is then read afresh. Where the id holds no time,
// those of the last three days are listed. A lookup that would go through more than ten thousand
// is unknown. Captures, voids and refunds are read from the PaymentIntent and its refunds. The
// lookup of an authorize or a confirm tells what was captured and released since.
//
// A success carries the amount, and one without an amount is unknown; but for a void, which
// releases the rest. A void of captured money is declined with already_captured.
//
// # Amounts
//
// Stripe counts ISK and UGX in hundredths, MGA in whole ariary, and wants amounts in currencies of
// three decimals to end in 0 (https://docs.stripe.com/currencies). An amount that has no exact
// form there is declined before anything is sent, never rounded. A currency without a known unit
// at Stripe is declined as well.
package stripegw
