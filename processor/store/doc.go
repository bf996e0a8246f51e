// Package store keeps payments in PostgreSQL.
//
// It owns the schema with its migrations, every statement that touches payments, payment_events, commands, timers and
// checkpoints, and the check that what is stored is consistent and is what was stored. It must not decide anything about a payment: it is handed the events
// of a decision together with the version they were decided on, and says whether they were written.
//
// It guarantees that the events of a change, the payment's new state, the claim of the command's idempotency key, the
// timer and the messages in the outbox are written together or not at all; that of two changes decided on the same
// version one is written and the other is told [ErrVersionConflict]; and that a key is claimed once, whichever payments
// and processes race for it.
//
// The way of one change through [Store.Commit]:
//
//  1. The caller's goroutine encodes it and puts it into the queue.
//  2. A committer takes what has gathered, at most one change for each payment and key.
//  3. First round trip: begin, then one statement that writes the payments whose version still stands and claims the
//     keys of those. The others get their answer now.
//  4. Second round trip: the events, timers and outbox rows of what was written, then commit.
//  5. Everyone gets an answer. If the connection broke during step 4 nobody knows: [ErrOutcomeUnknown].
//
// Nothing waits for a batch to fill: while nobody is busy a change travels alone, and the busier the database is the
// more gather for the next round. Loads are gathered in the same way.
package store
