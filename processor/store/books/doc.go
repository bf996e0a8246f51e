// Package books audits and mends what package store keeps.
//
// It owns everything that reads whole histories rather than one payment on its way: the check that
// the tables agree with each other and with the events ([CheckInvariants], [CheckPayment]), the
// rows derived anew from the events ([Rebuild]), the checkpoints that prove that the history has
// not changed ([TakeCheckpoint], [Checkpoints]), the plan of what to publish again
// ([PublishedPage], [Republish]), and the readings for an audit of the bus and the gateways
// ([MatchEvents], [AtOneMoment], [ListUnfinished]). It must not decide anything about a payment and
// never writes to the history.
//
// It imports store and is not imported by it: the way of a payment knows nothing of these
// functions. All of them may be called while payments are processed.
package books
