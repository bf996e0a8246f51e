// Package checkpoint takes checkpoints of the event store at intervals, and holds those in the
// database against those on the bus.
//
// What a checkpoint is, how it is taken and how it is held against the history is package store's;
// that it reaches the bus is the outbox's. A copy on the stream PAYMENTS_AUDIT, from which nothing
// can be deleted, makes a checkpoint prove something about the database: who rewrites the history
// and all checkpoints with it is found out by the copies.
package checkpoint
