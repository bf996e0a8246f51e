// Package rig runs a whole Tender on one machine in order to break it: processes of `tender
// serve`, a cluster of three NATS servers, a PostgreSQL server, simulators as gateways, each a
// process of its own, with a proxy between every two of them. A [Fault] strikes one of them. A
// [Schedule] injects faults one after the other and several at once, all from one seed.
//
// The package owns the processes and their evidence: logs, files, and the times at which each
// fault struck. It must not judge: package chaos compares the outcomes of the payments. It changes
// nothing inside the processes. They run as released, and every fault comes from outside: a
// signal, a disturbance on the wire, or an act of an operator.
//
// It guarantees that every process ends with the rig, that all listeners are on loopback, and that
// a fault that could not be brought about is an error and not a pass.
package rig
