// Package gateway defines the payment gateway that Tender calls, and the bounds that make calling
// one safe.
//
// It owns the [Gateway] interface, the [Guard] around every implementation (rate limit, circuit
// breaker, bulkhead, timeout, quick retries), the decline table and the [Set] of configured
// gateways. It imports messages only. It records nothing, schedules nothing and decides nothing
// about a payment: waiting longer than a moment is a timer's work, and processor/payment decides
// the consequences of an outcome.
//
// It guarantees send certainty: a [Guard] reports [messages.OutcomeNotSent] only when no try of
// that call can have reached the gateway, and reports everything that is not proven as
// [messages.OutcomeUnknown]. Every try of an operation, now or after a crash, carries the same
// idempotency key: the operation's id.
//
// The packages below it: protocol (Tender's open gateway protocol), httpgw and natsgw (its clients
// over HTTP and NATS), connector (the other end of natsgw), stripegw (Stripe), sim (a simulator
// with a ledger of its effects), conformance and gatewaytest (the behaviour every gateway must
// show) and status (where the guards stand, on the bus).
package gateway
