// Package status carries the status of the gateways' guards over NATS, from every instance to the
// programs that watch.
//
// It owns the subjects under payments.ops.gateway and the [Report] on them: a [Reporter] publishes
// one for each gateway of its process whenever a breaker changes, every few seconds, and when
// asked; a [Listener] asks and hears them, and a [Board] keeps the latest of each. The messages
// are plain NATS, kept by no stream: a report is true at its moment only, and the next one makes
// up for a lost one.
//
// No payment waits for it: a bus that is away costs reports only.
//
// A question has no answer of its own. The program that asks listens on the reports' subjects
// first, so that no instance needs the right to publish to an inbox, and one question brings fresh
// reports to every listener.
package status
