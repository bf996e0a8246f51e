// Package natsgw is the client of a gateway whose connector is a NATS service (package connector):
// a gateway.Gateway over request/reply, in the words of package protocol.
//
// It owns the judgement of a request that brings no answer. It must not retry, and it does not own
// the connection, which other parts of the program share.
//
// It guarantees: not_sent is reported only when
//
//   - nothing was published: the call's time was over, the connection was not up, or it refused the
//     message before taking it;
//   - the server answered that there is no listener ("no responders"), so that it delivered the
//     request to none;
//   - the connector answered with proof of its own.
//
// Everything else is unknown, above all a connection that breaks after the message was taken.
// nats.go keeps messages that are published while it reconnects and sends them later, perhaps long
// after the caller has given up. So this package publishes only while the connection is up, and
// every request carries the call's deadline, after which a connector refuses it. The deadline
// covers a connection that breaks between that check and the publish.
//
// A request that was delivered to a connector that then died is unknown when the call's time is
// over: NATS does not tell. If another program listens on the subjects of a gateway, an observer
// for example, the server never answers "no responders", and a missing connector is unknown too.
// That is safe, but slower than it should be.
package natsgw
