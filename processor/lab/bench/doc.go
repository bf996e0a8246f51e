// Package bench measures the throughput and latency of payments and their cost: it has the load, a
// gateway without cost, the floor that the database sets, readers of clocks and counters, and the
// report.
//
// It runs no part of the pipeline and starts no servers: the caller runs the workers, as separate
// processes. It reads the given clock, and no test asserts its measurements.
package bench
