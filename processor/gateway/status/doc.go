// Package status carries what the gateways' guards say of themselves over NATS, from every instance to whoever watches.
//
// It owns the subjects under payments.ops.gateway and the [Report] on them: a [Reporter] publishes one for each gateway of its
// process whenever a breaker changes, every few seconds, and when asked; a [Listener] asks and hears them, and a [Board] keeps
// the latest of each. The messages are plain NATS, kept by no stream: a report says how things are now, and the next one
// makes up for a lost one.
//
// It must not be waited for: nothing here is in the way of a payment, and a bus that is away costs reports only.
//
// A question has no answer of its own. Who asks listens on the reports' subjects first, so that no instance needs the right to
// publish to somebody's inbox, and one question freshens what everybody sees.
package status
