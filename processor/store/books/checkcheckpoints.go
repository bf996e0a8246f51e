package books

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// checkSeriesMax bounds how many checkpoints are read at once; their positions are bounded as those
// of one are.
const checkSeriesMax = 500

// cutCheckpoints cuts the series of checkpoints into pieces whose events are as many as one
// checkpoint may cover. The places are the checkpoints' numbers.
func cutCheckpoints(ctx context.Context, db store.DB, after string, yield func(piece) error) error {
	done, err := parseNumber(after)
	if err != nil {
		return err
	}
	var pieces []piece // The series is read before anything is yielded: nothing is open meanwhile.
	next := piece{after: after}
	var from int64 // position
	count := 0
	err = Checkpoints(ctx, db, done, func(c RecordedCheckpoint) error {
		if count == checkSeriesMax || count > 0 && c.ToPosition-from > checkpointSpan {
			pieces = append(pieces, next)
			next, count = piece{after: next.to}, 0
		}
		if count == 0 {
			from = c.FromPosition
		}
		next.to = strconv.FormatInt(c.Number, 10)
		count++
		return nil
	})
	if err != nil {
		return err
	}
	next.last = true
	for _, p := range append(pieces, next) {
		if err := yield(p); err != nil {
			return err
		}
	}
	return nil
}

// parseNumber reads the place of a piece; before the first checkpoint it is "".
func parseNumber(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("position %q: %w", text, err)
	}
	return number, nil
}

// checkCheckpoints holds checkpoints against the one before each, their leaves, and the history.
func checkCheckpoints(ctx context.Context, tx pgx.Tx, p piece, t *tally) error {
	after, err := parseNumber(p.after)
	if err != nil {
		return err
	}
	to, err := parseNumber(p.to)
	if err != nil {
		return err
	}
	var last messages.Checkpoint
	var some []messages.Checkpoint
	err = Checkpoints(ctx, tx, max(0, after-1), func(next RecordedCheckpoint) error {
		switch {
		case next.Number > to:
			return errEnough
		case next.Number > after:
			t.checkpoints++
			t.check(CheckpointsMatchHistory, uuid.Nil, misplaced(last, next.Checkpoint))
			some = append(some, next.Checkpoint)
		}
		last = next.Checkpoint
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) || len(some) == 0 {
		return err
	}
	t.done = t.checkpoints
	if _, err := tx.Exec(ctx, checkpointSettingsSQL); err != nil {
		return err
	}
	if err := checkSeries(ctx, tx, some, t); err != nil {
		return fmt.Errorf("from checkpoint %d: %w", some[0].Number, err)
	}
	return nil
}

// errEnough ends the reading of a series.
var errEnough = errors.New("enough")

// misplaced says what is wrong with the place of a checkpoint after the one before it; the first
// follows the zero one.
func misplaced(last, next messages.Checkpoint) string {
	var previous messages.Hash
	if last.Number > 0 {
		previous = last.Hash()
	}
	switch {
	case next.Number != last.Number+1:
		return fmt.Sprintf("checkpoint %d follows checkpoint %d", next.Number, last.Number)
	case next.FromPosition != last.ToPosition:
		return fmt.Sprintf("checkpoint %d begins after position %d, the one before ends at %d", next.Number, next.FromPosition, last.ToPosition)
	case next.PreviousHash != previous:
		return fmt.Sprintf("checkpoint %d does not follow what is there as checkpoint %d", next.Number, last.Number)
	default:
		return ""
	}
}

// checkSeries compares checkpoints that follow each other with their leaves, and those with the
// history.
func checkSeries(ctx context.Context, tx pgx.Tx, some []messages.Checkpoint, t *tally) error {
	recorded, err := recordedLeaves(ctx, tx, some, t)
	if err != nil {
		return fmt.Errorf("read recorded leaves: %w", err)
	}
	starts := make([]int64, len(some))
	for i := range some {
		starts[i] = some[i].FromPosition
	}
	found := make([][]leaf, len(some))
	events := make([]int64, len(some))
	err = readLeaves(ctx, tx, starts, some[len(some)-1].ToPosition, func(start int, l leaf, n int64) {
		found[start] = append(found[start], l)
		events[start] += n
	})
	if err != nil {
		return fmt.Errorf("read leaves: %w", err)
	}
	for i := range some {
		before := len(t.findings)
		compareLeaves(some[i].Number, recorded[some[i].Number], found[i], t)
		if events[i] != some[i].Events && len(t.findings) == before {
			t.report(CheckpointsMatchHistory, uuid.Nil,
				fmt.Sprintf("checkpoint %d covers %d events, %d are there", some[i].Number, some[i].Events, events[i]))
		}
	}
	return nil
}

// recordedLeaves are the leaves of checkpoints by number. They have to give the root.
func recordedLeaves(ctx context.Context, tx pgx.Tx, some []messages.Checkpoint, t *tally) (map[int64][]leaf, error) {
	roots := make(map[int64]messages.Hash, len(some))
	for i := range some {
		roots[some[i].Number] = some[i].Root
	}
	rows, err := tx.Query(ctx, checkLeavesSQL, some[0].Number, some[len(some)-1].Number)
	if err != nil {
		return nil, err
	}
	recorded := make(map[int64][]leaf, len(some))
	var number int64
	var encoded []byte
	_, err = pgx.ForEachRow(rows, []any{&number, &encoded}, func() error {
		leaves, err := decodeLeaves(encoded)
		switch {
		case err != nil:
			t.report(CheckpointsMatchHistory, uuid.Nil, fmt.Sprintf("checkpoint %d: %v", number, err))
		case merkleRoot(encoded) != roots[number]:
			t.report(CheckpointsMatchHistory, uuid.Nil, fmt.Sprintf("checkpoint %d: its leaves do not give its root", number))
		}
		recorded[number] = leaves
		return nil
	})
	return recorded, err
}

// compareLeaves names the payments whose events are not what they were when the checkpoint was
// taken. Both lists are in the order of payment ids.
func compareLeaves(number int64, recorded, found []leaf, t *tally) {
	for len(recorded) > 0 || len(found) > 0 {
		switch order := compareFirst(recorded, found); {
		case order < 0:
			t.check(CheckpointsMatchHistory, recorded[0].paymentID, fmt.Sprintf("%s are gone, which checkpoint %d covers", recorded[0].events(), number))
			recorded = recorded[1:]
		case order > 0:
			t.check(CheckpointsMatchHistory, found[0].paymentID, fmt.Sprintf("%s were not there when checkpoint %d was taken", found[0].events(), number))
			found = found[1:]
		default:
			problem := ""
			if recorded[0] != found[0] {
				problem = fmt.Sprintf("%s are not those that checkpoint %d covers: %s", found[0].events(), number, recorded[0].events())
			}
			t.check(CheckpointsMatchHistory, found[0].paymentID, problem)
			recorded, found = recorded[1:], found[1:]
		}
	}
}

// compareFirst orders the first leaf of each list by payment; what has run out comes last.
func compareFirst(a, b []leaf) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	default:
		return bytes.Compare(a[0].paymentID[:], b[0].paymentID[:])
	}
}

func (l *leaf) events() string {
	return fmt.Sprintf("events %d to %d (hash %.12s…)", l.first, l.last, l.hash)
}
