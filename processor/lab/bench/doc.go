// Package bench measures how fast payments are processed, and what that takes: the load, the gateway that costs nothing, the floor
// that the database sets, the reading of clocks and counters, and the report.
//
// It runs no part of the pipeline and starts no servers: whoever uses it runs the workers, as processes of their own. It reads the
// clock that it is given, and no test asserts what it measures.
package bench
