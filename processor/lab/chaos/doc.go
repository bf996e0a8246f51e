// Package chaos makes work for a system whose parts are being broken, and judges what came of it.
//
// It stands outside of the pipeline, where a client stands: a [Workload] publishes commands that follow from a seed, a [Record]
// keeps what the client did and saw, [Await] waits until the system has come to rest, and [Check] holds four sources against each
// other, which are the client's record, the event store, the stream of events and the gateways' own ledgers. Breaking things is
// somebody else's business; a [Report] takes the list of what was broken.
//
// It never repairs or retries on behalf of the system: whatever the client was promised by an acknowledgement must come true by itself.
package chaos
