package books

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// A checkpoint is the root of a Merkle tree over the events recorded since the one before it, with
// one leaf for each payment among them, published on a stream that cannot be deleted from.
// Checkpoints carry each other's hash as events do.
//
// What they prove: the history up to the last checkpoint with a copy elsewhere is as it was when
// that was taken. Who can do everything to the database, who switches the triggers off, changes an
// event, computes the rest of the payment's chain anew and writes its state to match, is found out
// by the leaf, and by payment; who changes the checkpoint too, by the next one; who computes all
// checkpoints anew, by the bus.
//
// What they don't prove:
//   - Anything about what came after the last checkpoint: until one is taken (checkpoint.interval)
//     and published, a history can be rewritten by an attacker with all rights on the database.
//   - Anything against an attacker who controls both the database and the bus, unless a copy of a
//     checkpoint is kept elsewhere.
//   - That the recorded facts were true: a serving process can record anything once. The
//     checkpoints say that it has not changed.
//   - When it was recorded: the times are those of Tender's own clocks.
//   - That nothing was left out before it was recorded. Only events are covered: commands, timers
//     and what is in the outbox are held against them by the other checks, and payments by folding
//     them.

const (
	// checkpointLock is the advisory lock of the process that takes a checkpoint: "check" in ASCII.
	checkpointLock int64 = 0x636865636b
	// checkpointSpan bounds the positions, and with them the events and the memory, of one
	// checkpoint.
	checkpointSpan = 100_000
	// checkpointKey is the ordering key of checkpoints in the outbox.
	checkpointKey = "checkpoints"
)

// ErrTooEarly says that a transaction that was open when the mark was made is open still, so that
// what it records may have a place below the mark. Try again with the same mark.
var ErrTooEarly = errors.New("a transaction that may record events before the checkpoint is still open")

// CheckpointMark is a moment up to which a checkpoint may reach. It is good for a while on the
// server it was made on, and is never stored: after a restore its transaction would mean nothing.
// Zero means that there is nothing new.
type CheckpointMark struct {
	position int64
	// transaction is an id that was given out after the position was. A row with a lower position
	// has a lower id: the pipeline asks for positions after it has written payments, and so has its
	// id by then.
	transaction string
}

// IsZero reports whether there is nothing to take a checkpoint of.
func (m CheckpointMark) IsZero() bool { return m.position == 0 }

// MarkCheckpoint notes what has been recorded, or is being, for TakeCheckpoint. If that is nothing
// since the last checkpoint the mark is zero. It may be called concurrently.
func MarkCheckpoint(ctx context.Context, db store.DB) (CheckpointMark, error) {
	var mark CheckpointMark
	var covered int64
	err := db.QueryRow(ctx, checkpointMarkSQL).Scan(&mark.position, &covered)
	if err == nil && mark.position <= covered {
		return CheckpointMark{}, nil
	}
	if err == nil {
		// The xmax of a snapshot would not do: it is one past the last transaction that has ended,
		// and those in progress may be above it.
		err = db.QueryRow(ctx, checkpointBoundarySQL).Scan(&mark.transaction)
	}
	if err != nil {
		return CheckpointMark{}, fmt.Errorf("mark checkpoint: %w", err)
	}
	return mark, nil
}

// TakeCheckpoint records a checkpoint of what came after the last one, up to the mark, and puts it
// into the outbox. It covers 100,000 positions at most: call it until it returns none, whose Number
// is 0, because all is covered, nothing was recorded after all, or another process is at it. It
// fails with ErrTooEarly, and with errors that Retryable tells about. Any number of processes may
// call it.
func TakeCheckpoint(ctx context.Context, db store.DB, mark CheckpointMark, now time.Time) (messages.Checkpoint, error) {
	var taken messages.Checkpoint
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if err := settled(ctx, tx, mark); err != nil {
			return err
		}
		var mine bool
		// Ends with the transaction, so that the next holder sees this checkpoint.
		if err := tx.QueryRow(ctx, checkpointLockSQL, checkpointLock).Scan(&mine); err != nil || !mine {
			return err
		}
		c, leaves, err := nextCheckpoint(ctx, tx, mark.position)
		if err != nil || c.Number == 0 {
			return err
		}
		c.CreatedAt = now.UTC().Truncate(time.Microsecond)
		taken = c
		return writeCheckpoint(ctx, tx, c, leaves)
	})
	if err != nil {
		return messages.Checkpoint{}, fmt.Errorf("take checkpoint: %w", err)
	}
	return taken, nil
}

// settled fails as long as something may still be recorded below the mark.
func settled(ctx context.Context, tx pgx.Tx, mark CheckpointMark) error {
	var ended bool
	err := tx.QueryRow(ctx, checkpointSettledSQL, mark.transaction).Scan(&ended)
	if err == nil && !ended {
		return ErrTooEarly
	}
	return err
}

// nextCheckpoint is what follows the last checkpoint, all but the time, with its encoded leaves.
func nextCheckpoint(ctx context.Context, tx pgx.Tx, upTo int64) (messages.Checkpoint, []byte, error) {
	last, err := lastCheckpoint(ctx, tx)
	if err != nil {
		return messages.Checkpoint{}, nil, err
	}
	if _, err := tx.Exec(ctx, checkpointSettingsSQL); err != nil {
		return messages.Checkpoint{}, nil, err
	}
	c := messages.Checkpoint{Number: last.Number + 1, FromPosition: last.ToPosition, ToPosition: last.ToPosition}
	if last.Number > 0 {
		c.PreviousHash = last.Hash()
	}
	for c.ToPosition < upTo {
		from := c.ToPosition
		c.ToPosition = min(from+checkpointSpan, upTo)
		var leaves []leaf
		err := readLeaves(ctx, tx, []int64{from}, c.ToPosition, func(_ int, l leaf, events int64) {
			leaves = append(leaves, l)
			c.Events += events
		})
		if err != nil {
			return messages.Checkpoint{}, nil, fmt.Errorf("read leaves: %w", err)
		}
		if len(leaves) > 0 {
			encoded := encodeLeaves(leaves)
			c.Payments, c.Root = int64(len(leaves)), merkleRoot(encoded)
			return c, encoded, nil
		}
		// All of these positions were rolled back: the checkpoint spans them.
	}
	return messages.Checkpoint{}, nil, nil
}

// readLeaves reads what the history holds after the first start and up to a position, ordered by
// start (counted from 0) and payment.
func readLeaves(ctx context.Context, tx pgx.Tx, starts []int64, upTo int64, take func(start int, l leaf, events int64)) error {
	rows, err := tx.Query(ctx, checkpointLeavesSQL, starts[0], upTo, starts)
	if err != nil {
		return err
	}
	var start int
	var l leaf
	var events int64
	var hash []byte
	_, err = pgx.ForEachRow(rows, []any{&start, (*[16]byte)(&l.paymentID), &l.first, &l.last, &events, &hash}, func() error {
		l.hash = messages.Hash(hash)
		take(start-1, l, events)
		return nil
	})
	return err
}

func writeCheckpoint(ctx context.Context, tx pgx.Tx, c messages.Checkpoint, leaves []byte) error {
	previous := []byte{}
	if !c.PreviousHash.IsZero() {
		previous = c.PreviousHash[:]
	}
	_, err := tx.Exec(ctx, writeCheckpointSQL, c.Number, c.FromPosition, c.ToPosition, c.Events, c.Payments,
		c.Root[:], previous, instant(c.CreatedAt), leaves)
	if err != nil {
		return fmt.Errorf("write checkpoint %d: %w", c.Number, err)
	}
	header, body := messages.EncodeCheckpoint(c)
	return outbox.Append(ctx, tx, outbox.Message{
		Subject: messages.SubjectCheckpoint, ID: messages.CheckpointMessageID(c), OrderingKey: checkpointKey,
		Header: header, Payload: body,
	})
}

// lastCheckpoint is the zero checkpoint if there is none.
func lastCheckpoint(ctx context.Context, tx pgx.Tx) (messages.Checkpoint, error) {
	var row checkpointRow
	err := tx.QueryRow(ctx, checkpointLastSQL).Scan(row.targets()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return messages.Checkpoint{}, nil
	}
	if err != nil {
		return messages.Checkpoint{}, fmt.Errorf("read last checkpoint: %w", err)
	}
	return row.checkpoint(), nil
}

// checkpointRow is a row of checkpoints, without its leaves.
type checkpointRow struct {
	c              messages.Checkpoint
	root, previous []byte
	created        pgtype.Timestamptz
}

func (r *checkpointRow) targets() []any {
	return []any{
		&r.c.Number, &r.c.FromPosition, &r.c.ToPosition, &r.c.Events, &r.c.Payments, &r.root, &r.previous, &r.created,
	}
}

func (r *checkpointRow) checkpoint() messages.Checkpoint {
	c := r.c
	copy(c.Root[:], r.root)
	copy(c.PreviousHash[:], r.previous)
	c.CreatedAt = r.created.Time.UTC()
	return c
}

// RecordedCheckpoint is a checkpoint as the database has it.
type RecordedCheckpoint struct {
	messages.Checkpoint
	// Waiting says that it is still in the outbox, so that it need not be on the bus.
	Waiting bool
}

// Checkpoints calls yield for every recorded checkpoint with a greater number, in order and as of
// one moment, until it returns an error, which is returned.
func Checkpoints(ctx context.Context, db store.DB, after int64, yield func(RecordedCheckpoint) error) error {
	rows, err := db.Query(ctx, checkpointListSQL, after)
	if err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	var row checkpointRow
	var waiting bool
	if _, err = pgx.ForEachRow(rows, append(row.targets(), &waiting), func() error {
		return yield(RecordedCheckpoint{row.checkpoint(), waiting})
	}); err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	return nil
}
