// Package wire sends HTTP requests to gateways and judges an exchange that brings no answer.
//
// It owns the connections and the judgement of a failed exchange, for every gateway that is
// reached over HTTP. It must not retry, and takes care that net/http does not retry behind its
// back either: package gateway's Guard does that, where it is counted. It does not know the
// meaning of a request or an answer.
//
// It guarantees: an [ExchangeError] with Sent false is reported only when no connection was ever
// handed to the request, so that not one byte of it can have left. That is the case while a name is
// being resolved, while dialling, during the TLS handshake (which comes before the request) and
// while waiting for a free connection. From the moment the request has a connection, everything
// short of a whole answer leaves it open whether the gateway got it; that a write failed proves
// nothing, since a part or all of it may have been delivered before. A connection taken from the
// pool that turns out to be dead is therefore open too; a replay under the same key settles it.
package wire
