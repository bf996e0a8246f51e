// Package conformance checks which rules of the gateway protocol (package protocol) a server
// keeps, over HTTP, over NATS, or in process. The command `tender gateway conformance` and the
// tests of package gatewaytest run the same rules.
//
// It owns the rules: each has a name that does not change, and its demand in one line. It knows no
// provider; the test cards of the server are passed in as [Cards]. It must be pointed at test
// systems only: it authorizes, captures and refunds a lot.
//
// It guarantees that a breach comes with its evidence, the exchanges that led to it, and that a
// rule depends on no other one: every rule makes payments of its own under fresh keys. One rule
// judges all replies of the run, and the last one restarts the server. It sees a server from
// outside, so that a kept rule is no proof; it measures money by asking for more than there should
// be.
//
// A server may answer every operation with pending. The rules then look it up until it has ended,
// within Options.PendingTimeout, and judge the end. A [Receiver] takes the events of a server that
// sends some.
package conformance
