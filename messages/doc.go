// Package messages is Tender's public contract: everything that crosses the bus, and nothing else.
//
// It owns the commands a producer publishes, the events Tender publishes back, their subjects, headers and streams,
// money, and the vocabulary in which a gateway is asked and answers. It imports nothing else of Tender's, so that a
// producer or a consumer written in Go can depend on it alone. It does no I/O except in [Client] and [Provision].
//
// It guarantees that a message once published decodes for ever: fields are added, never renamed or removed, and the
// golden messages in testdata hold it to that.
package messages
