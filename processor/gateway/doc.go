// Package gateway says what a payment gateway is to Tender, and puts the bounds around one that make it safe to call.
//
// It owns the [Gateway] interface, the [Guard] around every implementation (circuit breaker, bulkhead, timeout, quick
// retries), the decline table, the [Set] of configured gateways and the [Router] that picks one. It imports messages only.
// It records nothing, schedules nothing and decides nothing about a payment: waiting longer than a moment is a timer's work,
// and what an outcome means for a payment is decided in processor/payment.
//
// It guarantees send certainty: a [Guard] reports [messages.OutcomeNotSent] only when no try of that call can have reached
// the gateway, and reports everything that is not proven as [messages.OutcomeUnknown]. Every try of an operation, now or
// after a crash, carries the same idempotency key: the operation's id.
//
// The packages below it: protocol (Tender's open gateway protocol), httpgw (its client), sim (a simulator with a ledger of
// what it really did) and gatewaytest (the behaviour every gateway must show).
package gateway
