// Package simulator serves the simulated gateway of package sim as one reaches it from outside:
// over HTTP with the open gateway protocol, with a journal on disk, and with webhooks. It is for
// demos, tests, the sandbox and the lab.
//
// It owns the HTTP server, the journal, the sending of events, and disputes. The core decides every
// answer and keeps the ledger; this package observes it (sim.Observer) and must not decide about
// money. A [Simulator] is a gateway.Gateway, too, for use in the same process. It guarantees that
// an effect is in the journal, if there is one, before it is answered.
//
// # Webhooks
//
// With a [Webhook] the simulator sends an event of the protocol for every operation that it
// answers, and for later reversals and disputes. It sends an event until the receiver takes it, a
// bounded number of times. Eight events are on their way at once, so that they arrive in any
// order, as those of real gateways do. A dispute dp_<operation id> is opened by the simulator and
// moved by the operator: [Simulator.MoveDispute], over HTTP with POST /v1/disputes/<dispute
// id>/<status>. A reversal is in the ledger with amounts under zero.
//
// # After a restart
//
// With a journal the ledger, the answers and pending refunds survive. The counts of requests do
// not, so that a fault may befall an operation again whose request brought no answer to keep.
// Events that were not taken yet, disputes, and effects that were due in a moment are forgotten.
package simulator
