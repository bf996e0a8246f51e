// Package store keeps payments in PostgreSQL.
//
// It owns the schema with its migrations, and the statements on the way of a payment: loading,
// committing, timers, and the queries of operators and producers. Package books, which stands on
// this one, checks and mends what is stored. Store must not decide anything about a payment: it is
// handed the events of a decision together with the version they were decided on, and says whether
// they were written.
//
// It guarantees that the events of a change, the payment's new state, the claim of the command's
// idempotency key, the timer and the messages in the outbox are written together or not at all;
// that of two changes decided on the same version one is written and the other is told
// [ErrVersionConflict]; and that a key is claimed once, however many payments and processes race
// for it.
//
// The way of one change through [Store.Commit]:
//
//  1. The caller's goroutine encodes it and puts it into the queue.
//  2. A committer takes the changes that have gathered, at most one for each payment and key.
//  3. One round trip writes the batch: begin; one statement that writes the payments whose version
//     still stands and claims the keys of those; the events, timers and outbox rows; commit. If a
//     version or a key is lost, the first statement fails and nothing is written.
//  4. In that case the committer writes the batch again in two round trips. The first ends after
//     the payments and claims and tells which changes have lost; their callers are answered now. If
//     a claim was lost, the transaction is rolled back and the rest is tried again. Otherwise the
//     second round trip writes the rest and commits. The next batches are written in this way at
//     once, because conflicts come in crowds.
//  5. Each caller gets its answer. If the connection broke around the commit, the outcome is not
//     known: [ErrOutcomeUnknown].
//
// [Clock] is the time of the database, for decisions that guard money.
//
// Nothing waits for a batch to fill: an idle store writes a change by itself, and the busier the
// database is, the more changes gather for the next batch. Loads are gathered in the same way.
package store
