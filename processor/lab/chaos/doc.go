// Package chaos publishes load for a system while faults strike it, and judges the outcome.
//
// It works from outside the pipeline, as a client does. A [Workload] publishes commands determined
// by a seed, a [Record] keeps every act and observation of the client, and [Await] waits until the
// system is at rest. [Check] then compares four sources: the record of the client, the event
// store, the stream of events, and the ledgers of the gateways. Its result is the [Verdict] on the
// run. The caller injects the faults; a [Report] takes their list.
//
// The package never repairs or retries for the system: every command that was acknowledged to the
// client must reach its outcome by itself.
package chaos
