package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/outbox/pgarray"
)

// apply writes what isn't written yet in one transaction, and returns the payments that have moved since they were read.
func (r *rebuilder) apply(ctx context.Context, plans []*plan) (lost []*plan, err error) {
	var open, orphans []*plan
	for _, p := range plans {
		switch {
		case p.Damage != "" || p.Applied:
		case p.orphaned():
			orphans = append(orphans, p)
		default:
			open = append(open, p)
		}
	}
	if len(open)+len(orphans) == 0 {
		return nil, nil
	}
	slices.SortFunc(open, func(a, b *plan) int { return slices.Compare(a.PaymentID[:], b.PaymentID[:]) })
	var written map[uuid.UUID]bool
	err = pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settingsSQL); err != nil {
			return err
		}
		var err error
		if written, err = writeRebuilt(ctx, tx, open); err != nil {
			return err
		}
		return writeRebuiltTimers(ctx, tx, open, orphans, written)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range orphans {
		p.Applied = true
	}
	for _, p := range open {
		if p.Applied = written[p.PaymentID]; !p.Applied {
			lost = append(lost, p)
		}
	}
	return lost, nil
}

// writeRebuilt writes the rows whose payments haven't moved, and holds them.
func writeRebuilt(ctx context.Context, tx pgx.Tx, plans []*plan) (map[uuid.UUID]bool, error) {
	held, err := collectIDs(tx.Query(ctx, rebuildLockSQL,
		pgarray.UUIDs(plans, func(p *plan) uuid.UUID { return p.PaymentID }), pgarray.Int64s(plans, func(p *plan) int64 { return p.version })))
	if err != nil {
		return nil, err
	}
	var entries []*entry
	for _, p := range plans {
		if p.version == 0 || held[p.PaymentID] {
			entries = append(entries, &entry{row: p.row})
		}
	}
	arguments := append(paymentColumns(entries), column(entries, func(e *entry) pgtype.UUID {
		return pgtype.UUID{Bytes: e.row.id, Valid: held[e.row.id]}
	}))
	return collectIDs(tx.Query(ctx, rebuildPaymentsSQL, arguments...))
}

func collectIDs(rows pgx.Rows, err error) (map[uuid.UUID]bool, error) {
	if err != nil {
		return nil, err
	}
	ids := map[uuid.UUID]bool{}
	var paymentID uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&paymentID)}, func() error {
		ids[paymentID] = true
		return nil
	})
	return ids, err
}

// writeRebuiltTimers replaces the timers that are wrong, of the payments that were written, and removes those of nobody.
func writeRebuiltTimers(ctx context.Context, tx pgx.Tx, plans, orphans []*plan, written map[uuid.UUID]bool) error {
	var wrong, wanted []*plan
	for _, p := range plans {
		if !p.wrongTimer || !written[p.PaymentID] {
			continue
		}
		wrong = append(wrong, p)
		if !p.dueAt.IsZero() {
			wanted = append(wanted, p)
		}
	}
	ids := func(p *plan) uuid.UUID { return p.PaymentID }
	if _, err := tx.Exec(ctx, deleteTimersSQL, pgarray.UUIDs(wrong, ids)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, writeTimersSQL, pgarray.UUIDs(wanted, ids), pgarray.Texts(wanted, func(p *plan) string { return p.row.tenant }),
		pgarray.Times(wanted, func(p *plan) time.Time { return p.dueAt.Truncate(time.Microsecond) })); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, rebuildTimersSQL, pgarray.UUIDs(orphans, ids))
	return err
}
