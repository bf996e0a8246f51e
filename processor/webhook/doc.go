// Package webhook receives the events that gateways send of their own accord, over HTTP, and puts
// them on the bus as notify commands.
//
// It owns the endpoint POST /webhooks/<gateway>, the checks in front of it, and the reading of the
// open protocol's events; [Decoder]s for other gateways are passed in. It must not know the
// meaning of a notification to a payment, must not touch the database, and must not log or keep a
// body.
//
// # The way of an event
//
//  1. An unknown gateway is 404, everything but POST 405, more than 256 KiB 413.
//  2. The signature is checked over the body as it came, then its age. A failure is 400 without the
//     reason; the log has that.
//  3. The event is read. It names the tenant, payment and operation that Tender had sent along with
//     the operation. An event about something else, or of a type without a meaning here, is 200 and
//     forgotten. One that was signed and still makes no sense is 400, and an error in the log: the
//     gateway keeps sending it, so that a person has time to look.
//  4. The commands go to JetStream. Only when it has stored them it is 200. Otherwise it is 503,
//     and the gateway sends the event again.
//
// # Guarantees
//
// An event that was answered with 200 is on the bus. An event that comes again is known by the
// gateway's id of it: by JetStream within its window for duplicates, by the workers for ever. Order
// is not guaranteed and not needed: the workers take late, early, repeated and contradicting
// notifications as they come.
package webhook
