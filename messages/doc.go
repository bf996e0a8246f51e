// Package messages is Tender's public contract: everything that crosses the bus, and nothing else.
//
// It owns the commands a producer publishes, the events Tender publishes back, their subjects,
// headers and the names of their streams, money, and the vocabulary in which a gateway is asked and
// answers. It imports nothing else of Tender's, so that a producer or a consumer written in Go can
// depend on it alone: [DecodeEvent] reads events, and package messages/client publishes commands
// and waits for their outcomes. Package messages/bus defines the streams. For other languages,
// [Schema] and [AsyncAPI] say the same in JSON Schema and AsyncAPI. It does no I/O.
//
// It guarantees that a message once published decodes for ever: fields are added, never renamed or
// removed, and the golden messages in testdata hold it to that. Commands are read strictly, since a
// misread one moves money; events are read openly, since consumers must outlive new versions. No
// message that holds what looks like a card number gets through, and no error repeats one.
//
// All functions may be called from several goroutines at once.
package messages
