// Package webhook takes in what gateways say of their own accord, over HTTP, and puts it on the bus as notify commands.
//
// It owns the endpoint POST /webhooks/<gateway>, the checks in front of it, and the reading of the open protocol's events; [Decoder]s for
// other gateways are passed in. It must not know what a notification means to a payment, must not touch the database, and must not
// log or keep a body.
//
// # The way of an event
//
//  1. An unknown gateway is 404, everything but POST 405, more than 256 KiB 413.
//  2. The signature is checked over the body as it came, then its age. A failure is 400 without a word of why; the log has that.
//  3. The event is read. Whom it is about stands in what Tender itself had sent along with the operation: tenant, payment, operation.
//     An event about something else, or of a type that means nothing here, is 200 and forgotten. One that was signed and still
//     makes no sense is 400, and in the log as an error: the gateway keeps sending it, so that it is not lost while someone looks.
//  4. The commands go to JetStream. Only when it has stored them it is 200. Otherwise it is 503, and the gateway sends the event
//     again.
//
// # What it guarantees
//
// An event that was answered with 200 is on the bus. An event that comes again is known by the gateway's id of it: by JetStream within its
// window for duplicates, by the workers for ever. Order is not guaranteed and not needed: the workers take late, early, repeated and
// contradicting notifications as they come.
package webhook
