package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/outbox/pgarray"
)

// A timer fires again only when its resume is proven not to wait any more. The proof has three
// steps, and a scheduler takes them in this order:
//
//  1. PublishedResumes: the resume has left the outbox, so JetStream has stored it.
//  2. The scheduler then reads the last sequence of the stream of commands, and BoundResumes
//     notes it: the resume lies at or below that sequence.
//  3. HandledResumes: the workers' consumer has settled every command up to some sequence. What was
//     noted at or below it was handled; if its timer is still there, it was handled to no effect.
//
// Each step reads only what a row or the stream says at that moment, so any number of schedulers
// may take the steps at the same time, and each may stop after any of them.

// Resume is the command of a timer that was fired.
type Resume struct {
	place     outbox.Place
	paymentID uuid.UUID
	kind      string
}

// PublishedResumes returns the resumes of timers that were fired longer than their lease ago and
// that have left the outbox, at most limit of them: each of them is in the stream of commands, or
// was. now counts for no more than the time of the database.
func (s *Store) PublishedResumes(ctx context.Context, now time.Time, limit int) ([]Resume, error) {
	var found []Resume
	err := s.withSettings(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, publishedResumesSQL, instant(now), limit)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Resume, err error) {
			err = row.Scan(&r.place.Partition, &r.place.ID, (*[16]byte)(&r.paymentID), &r.kind)
			return r, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find published resumes: %w", err)
	}
	return found, nil
}

// BoundResumes notes that resumes lie at or below a sequence of the stream of commands. The
// sequence is the stream's last one, read after PublishedResumes returned the resumes.
func (s *Store) BoundResumes(ctx context.Context, resumes []Resume, last uint64) error {
	err := s.withSettings(ctx, func(tx pgx.Tx) error {
		arguments := append([]any{int64(last)}, resumeColumns(resumes)...) //nolint:gosec // G115: a sequence counts from 1
		_, err := tx.Exec(ctx, boundResumesSQL, arguments...)
		return err
	})
	if err != nil {
		return fmt.Errorf("note the sequence of %d resumes: %w", len(resumes), err)
	}
	return nil
}

// ResumeBounds are the lowest and the highest sequence that BoundResumes noted and that stand; 0
// and 0 if none does.
type ResumeBounds struct{ Lowest, Highest uint64 }

// ResumeBounds returns which sequences stand.
func (s *Store) ResumeBounds(ctx context.Context) (ResumeBounds, error) {
	var lowest, highest pgtype.Int8
	err := s.withSettings(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, resumeBoundsSQL).Scan(&lowest, &highest)
	})
	if err != nil {
		return ResumeBounds{}, fmt.Errorf("read the sequences of resumes: %w", err)
	}
	return ResumeBounds{Lowest: uint64(lowest.Int64), Highest: uint64(highest.Int64)}, nil //nolint:gosec // G115: sequences
}

// Handled says how far the workers are with the stream of commands.
type Handled struct {
	// Upto is a sequence: every command at or below it was settled.
	Upto uint64
	// Last is the last sequence of the stream, read after Known.
	Last uint64
	// Known is what ResumeBounds returned before. A resume that was noted above Last was in a
	// stream that was lost.
	Known ResumeBounds
}

// HandledResumes lets the timers fire again whose resumes do not wait any more, at most limit of
// them, and returns how many.
func (s *Store) HandledResumes(ctx context.Context, h Handled, limit int) (int, error) {
	var n int64
	err := s.withSettings(ctx, func(tx pgx.Tx) error {
		//nolint:gosec // G115: sequences count from 1
		tag, err := tx.Exec(ctx, handledResumesSQL, int64(h.Upto), int64(h.Last), int64(h.Known.Highest), limit)
		n = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("let timers fire again: %w", err)
	}
	return int(n), nil
}

// withSettings runs f in a transaction that finds rows through indexes.
func (s *Store) withSettings(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settingsSQL); err != nil {
			return err
		}
		return f(tx)
	})
}

// resumeColumns are the arguments that name resumes.
func resumeColumns(resumes []Resume) []any {
	return []any{
		pgarray.UUIDs(resumes, func(r Resume) uuid.UUID { return r.paymentID }),
		pgarray.Texts(resumes, func(r Resume) string { return r.kind }),
		pgarray.Int16s(resumes, func(r Resume) int16 { return r.place.Partition }),
		pgarray.Int64s(resumes, func(r Resume) int64 { return r.place.ID }),
	}
}
