// Package natsgw is the client of a gateway whose connector is a NATS service (package connector): a gateway.Gateway over
// request/reply, in the words of package protocol.
//
// It owns the judgement of what is proven when a request brings no answer. It must not retry, and it does not own the connection,
// which other parts of the program share.
//
// It guarantees: not_sent is reported only when
//
//   - nothing was published: the call's time was over, the connection was not up, or it refused the message before taking it;
//   - the server answered that nobody listens, so that it delivered the request to no one;
//   - the connector answered with proof of its own.
//
// Everything else is unknown, and above all a connection that breaks after the message was taken. nats.go keeps what is published
// while it reconnects and sends it later, perhaps long after the caller has given up; for that reason nothing is published
// unless the connection is up, and every request carries the call's deadline, after which a connector refuses it.
// A connection that breaks between that check and the publish is what the deadline is for.
//
// A request that was delivered to a connector that then died is unknown when the call's time is over: NATS does not tell. If
// somebody else listens on the subjects of a gateway, an observer for example, "nobody listens" is never said, and a missing
// connector is unknown too. That is safe, but slower than it should be.
package natsgw
