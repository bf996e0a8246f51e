// Package rig is Tender as it runs for real, on one machine and made to be broken: processes of `tender serve`, a cluster
// of three NATS servers, a PostgreSQL server, simulators as gateways, each a process of its own, and between every two of
// them a proxy. A [Fault] is something that happens to one of them; a [Schedule] lets faults happen one after the other
// and several at once, all from one seed.
//
// It owns the processes and their evidence: their logs, their files and what was done to them when. It must not judge: what became of the
// payments is compared by package chaos. It changes nothing in the processes: they run as released, and everything is done
// to them from outside, by signals, on the wire, or as an operator could.
//
// It guarantees that every process ends with it, that nothing listens on anything but loopback, and that a fault that
// could not be brought about is an error and not a pass.
package rig
