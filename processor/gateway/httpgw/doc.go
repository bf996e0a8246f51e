// Package httpgw is the client of Tender's open gateway protocol (package protocol): a
// gateway.Gateway over real HTTP.
//
// It owns the exchange of the protocol's messages, and the judgement of one that brings no answer.
// It must not retry, and takes care that net/http does not retry behind its back either; package
// gateway's Guard does that, where it is counted.
//
// It guarantees: not_sent is reported only when no connection was ever handed to the request, so
// that not one byte of it can have left. That is the case while a name is being resolved, while
// dialling, during the TLS handshake (which comes before the request) and while waiting for a free
// connection. From the moment the request has a connection, everything short of a whole and proper
// reply is unknown; that a write failed proves nothing, since a part or all of it may have been
// delivered before. A connection taken from the pool that turns out to be dead is therefore unknown
// too; the replay under the same key settles it.
package httpgw
