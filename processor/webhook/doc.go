// Package webhook receives the events that gateways send of their own accord, over HTTP, and puts
// them on the bus as notify commands.
//
// It owns the endpoint POST /webhooks/<gateway>, the checks in front of it, and the reading of the
// open protocol's events; [Decoder]s for other gateways are passed in. It must not know the
// meaning of a notification to a payment, must not touch the database, must not log a body, and
// keeps one in dead letters only.
//
// # The way of an event
//
//  1. An unknown gateway is 404, everything but POST 405, more than 256 KiB 413.
//  2. The signature is checked over the body as it came, then its age. A failure is 400 without the
//     reason; the log has that.
//  3. The event is read. It names the tenant, payment and operation that Tender had sent along with
//     the operation. An event about something else is 200 and forgotten; one about an account that
//     is not configured is 200 with a warning. A word that is not needed, such as a reason, is
//     masked or left out where it cannot be stored.
//     An event from which no command can be made (its type is unknown or missing, it is no JSON, it
//     names no payment, a needed word cannot be stored) becomes a dead letter with the reason
//     webhook_unusable, for a person to look at, card numbers and client secrets masked. Then it is
//     200: to be told again would not help.
//  4. The commands go to JetStream. Only when it has stored them it is 200. Otherwise it is 503,
//     and the gateway sends the event again.
//
// # Guarantees
//
// An event that was answered with 200 and concerns Tender is on the bus, as a command or as a dead
// letter. An event that comes again is known by the
// gateway's id of it: by JetStream within its window for duplicates, by the workers for ever. Order
// is not guaranteed and not needed: the workers take late, early, repeated and contradicting
// notifications as they come.
package webhook
