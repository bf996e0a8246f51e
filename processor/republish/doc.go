// Package republish puts events back onto the bus that the history holds and PAYMENTS_EVT does not:
// after the bus was restored from an older copy, or lost.
//
// It keeps what holds of published events: each reaches the bus at least once, in version order per
// payment, under a message id that never changes; and nothing is on the bus that is not in the
// store. It reads histories, looks at what the bus holds of each payment, and puts what is missing
// into the outbox. It never publishes by itself.
//
// # Why through the outbox
//
// The outbox is where the order of a payment's events is kept: what is appended for a payment comes
// out in the order in which it was appended, and one relay at a time publishes it. Events published
// beside it could come between two that are in flight. So the rows of missing events are inserted
// in a transaction that holds the payment's row, which every commit of an event needs, too: what is
// committed later is appended later.
//
// # Why newer events go out again
//
// The stream can't insert. Where it holds versions 1, 2 and 5, since 3 and 4 were lost and 5 was
// published after the loss, version 3 can only come behind 5. So 5 is published once more behind 4:
// a consumer that keeps the latest version ends at 5, one that follows the stream from the
// beginning sees 1, 2, (5,) 3, 4, 5, and drops the repetition by its id. What counts as being in
// order is the last occurrence of each version. A payment is sent again from the lowest version
// that the bus lacks, or has only behind a newer one, to the latest.
//
// # Why some payments are left for later
//
//   - recent: one of the newer events was published within the stream's window for duplicates. Its
//     repetition would be dropped and leave the older ones as the latest.
//   - in_flight: a newer event waits in the outbox and a relay owns it. It may come out at any
//     moment, before what would be inserted now. While no relay runs the waiting rows are put
//     behind the older events, which is the better time for this.
//   - moved: something was committed to the payment between looking and locking.
//   - parked: a row of the payment is parked, and every row behind it would wait there.
//   - unreadable: this build doesn't know one of the events.
//
// Running it again takes them up, and does nothing for what is on the bus by then. An interrupted
// run is resumed the same way.
package republish
