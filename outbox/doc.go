// Package outbox publishes messages to NATS JetStream if, and only if, the PostgreSQL transaction
// that wrote them committed: Append writes them to a table in the caller's transaction, a Relay
// publishes what is in the table and deletes it.
//
// It owns the tables outbox and outbox_partition (see SchemaV1) and nothing else: it knows nothing
// of payments, creates no streams, and imports nothing of the rest of this module, so that another
// program can use it alone.
//
// # What is guaranteed
//
//   - What is committed is published at least once, what is rolled back never.
//   - A message keeps its id (Nats-Msg-Id) however often it is published, so that a stream with a
//     Duplicates window keeps one copy. A message may only appear twice when it is published again
//     later than that window: when all relays were cut off from PostgreSQL, or down, for that long
//     between its acknowledgement and its deletion; or when a relay was stopped between its
//     last look at its ownership and the socket, which nothing can exclude. Consumers know
//     the copy by its id.
//   - The messages of one ordering key that go to one stream are stored by it in the order they
//     were appended. Across keys, and across streams, there is no order.
//   - Nothing is dropped: a message that cannot be published is parked, and seen in Inspect and
//     Parked.
//
// # The life of a row
//
//	Append ──> waiting ──published──> deleted
//	              │ ▲
//	    refused   │ │ Unpark
//	              ▼ │
//	            parked            rows of its key that come later wait behind it
//
// A row waits while parked_at is null. It is parked, with parked_at and parked_reason set, when the
// message itself is the obstacle: larger than the server or the stream takes, a malformed subject
// or header (which Append refuses, but rows may come from elsewhere), a header that the stream
// refuses, or a subject that no stream takes although the stream of its kind is there. Rows of
// other keys go on.
//
// Everything else is taken for an outage and tried again in order, for ever, with growing pauses:
// the broker is away or slow, JetStream is not ready, the stream is full, sealed or not there yet.
// An outage parks nothing, since it would park everything. A subject that the account may not
// publish to looks like an outage, too, because NATS answers it with silence; keys beside it go on,
// slowly.
//
// # The table
//
//	partition      fnv1a32(ordering_key) mod 8
//	id             rising; the order within a key
//	subject        where to publish
//	message_id     Nats-Msg-Id
//	ordering_key   what keeps its order and is parked as one, for example a payment
//	header         JSON object, name to value
//	payload        the body as it is published
//	created_at     begin of the transaction that appended
//	parked_at      when the row was parked; null: waiting
//	parked_reason  why
//
// Rows are found by being there, not by a position up to which everything was read: a row with a
// low id may be committed after one with a high id.
//
// # Relays
//
// Run a Relay in as many processes as there are. Each partition is owned by one relay at a time,
// through a session advisory lock on a connection that the relay opens for it; usually the first
// relay owns all of them and the others stand by. A relay that stops hands over at once. When an
// owner dies PostgreSQL ends its session, after at most half a minute if the whole machine
// vanished, and a standby takes over within its LockRetryInterval. An owner that loses its session
// stops publishing and competes again; a batch it had in flight may then be published by two
// relays, which the message ids make harmless. An owner that was stalled or suspended may not know
// yet that it lost its session: before each publication it looks at the time since PostgreSQL last
// confirmed its locks, and publishes nothing after LockRetryInterval and five seconds.
//
// A relay publishes in atomic batches (jetstreamext), one for each stream: give the stream
// AllowAtomicPublish and a Duplicates window. A batch that is refused, because a message of it is
// already in the stream or cannot be stored, is published one by one; so is everything for a stream
// without atomic batches. No transaction is open meanwhile.
//
// An idle relay is woken by NOTIFY on the channel outbox; it polls as well. Append only notifies
// while the owner asks for it, since notifying transactions commit one after the other.
//
// A program that writes and relays in one process can spare the relay the reading: it queues
// stretches of keys, which say what they follow, with QueueStretches, and after the commit gives
// them to Relay.Offer. They are in the table all the same, and a relay that finds a stretch out of
// its order, or is not the owner, or ends before it comes to it, leaves it to the relay that reads
// the table. A relay that lives on offers alone looks at the table a few dozen times a second, to
// delete what it published and to find rows of other processes.
//
// # Use
//
// PostgreSQL 14 and NATS server 2.12 or later; with an older server messages go out one by one. The
// example of this package is a complete program but for its servers. Roles need the rights that
// SchemaV1 lists, and a NATS user that relays needs to publish to its subjects and to
// $JS.API.STREAM.NAMES and $JS.API.STREAM.INFO.*, without which a subject that no stream takes
// counts as an outage.
package outbox
