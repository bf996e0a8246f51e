// Package faulty breaks real connections on purpose, at a moment that a test chooses by what passes over them.
//
// A [Proxy] stands before a server of another process; a [Dialer] makes the connections of this one. Both put their
// connections through the same [Faults]: cut, refused, stalled or delayed, and caught by traps. A [Trap] waits for bytes,
// such as the COMMIT of one event or the acknowledgement of a command, and then holds them, loses them, or does something first.
// The code under test needs no hooks for any of it.
//
// The package owns connections and nothing else: it must not know what Tender sends over them beyond the protocols of
// PostgreSQL, NATS and HTTP. It guarantees that bytes that it lets through are whole and in order, and that a trap sees what it looks for
// however the bytes are split.
package faulty
