// Package faulty breaks real connections on purpose, at a moment that a test chooses by the bytes
// on the wire.
//
// A [Proxy] stands before a server of another process; a [Dialer] makes the connections of this
// process. Both apply the same [Faults]: connections are cut, refused, stalled or delayed. A
// [Trap] waits for bytes, such as the COMMIT of one event or the acknowledgement of a command, and
// then holds them, drops them, or calls a function first. The code under test needs no hooks.
//
// The package owns connections and nothing else. It must not know the messages of Tender, only the
// protocols of PostgreSQL, NATS and HTTP. It guarantees that forwarded bytes are complete and in
// order, and that a trap finds its bytes however they are split.
package faulty
