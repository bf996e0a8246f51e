package books

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// plan is what is to be written of one payment.
type plan struct {
	Rebuilt
	// version is that of the row that was read; 0 if there is none.
	version int64
	// row is what is to be written; its id is nil if nothing but timers is to go.
	row store.PaymentRow
	// dueAt is the timer that is wanted, and wrongTimer says that another one is there.
	dueAt      time.Time
	wrongTimer bool
}

// orphaned reports whether nothing of the payment is left but timers.
func (p *plan) orphaned() bool { return p.row.ID == uuid.Nil }

// plan compares the payments of a chunk with their histories, all as of one moment. Payments that
// are as their history has them are only counted.
func (r *rebuilder) plan(ctx context.Context, in chunk) (plans []*plan, looked int, err error) {
	err = pgx.BeginTxFunc(ctx, r.pool, snapshotOptions(), func(tx pgx.Tx) error {
		payments, err := readPayments(ctx, tx, in)
		if err != nil {
			return err
		}
		damage := map[uuid.UUID]string{}
		c := &checker{keepOrphans: true, trace: func(row *eventRow, found []Finding) {
			if len(found) > 0 && damage[row.paymentID] == "" {
				damage[row.paymentID] = found[0].Detail
			}
		}}
		if err := c.foldEvents(ctx, tx, in, payments, newTally()); err != nil {
			return err
		}
		orphans, err := attachTimers(ctx, tx, in, payments)
		if err != nil {
			return err
		}
		looked = len(payments)
		for paymentID, e := range payments {
			p, err := e.plan(damage[paymentID])
			if err != nil {
				return fmt.Errorf("payment %s: %w", paymentID, err)
			}
			if p != nil {
				plans = append(plans, p)
			}
		}
		plans = append(plans, orphans...)
		return nil
	})
	return plans, looked, err
}

// attachTimers adds the timers to their payments, and returns the removal of those that have none.
func attachTimers(ctx context.Context, tx pgx.Tx, in chunk, payments map[uuid.UUID]*examined) ([]*plan, error) {
	timers, err := timersOf(ctx, tx, in)
	if err != nil {
		return nil, err
	}
	orphans := map[uuid.UUID]*plan{}
	var plans []*plan
	for i := range timers {
		t := &timers[i]
		if e := payments[t.PaymentID]; e != nil {
			if t.Kind == store.TimerDue {
				e.due = t
			}
			continue
		}
		p := orphans[t.PaymentID]
		if p == nil {
			p = &plan{Rebuilt: Rebuilt{PaymentID: t.PaymentID}}
			orphans[t.PaymentID] = p
			plans = append(plans, p)
		}
		p.Differences = append(p.Differences, Difference{Table: "timers", Field: t.Kind, From: timerText(t)})
	}
	return plans, nil
}

// plan is what is to be written of the payment, nil if nothing is.
func (e *examined) plan(damage string) (*plan, error) {
	p := &plan{Rebuilt: Rebuilt{PaymentID: e.row.ID, Damage: damage}, version: e.row.Version}
	stored, unreadable := store.DecodeState(e.row.State)
	switch {
	case damage != "":
		return p, nil
	case e.version == 0:
		p.Damage = "there is no history"
		return p, nil
	case !e.missing && e.storedVersion(stored, unreadable) > e.version:
		p.Damage = fmt.Sprintf("the state is at version %d, the history ends at %d: events are missing",
			e.storedVersion(stored, unreadable), e.version)
		return p, nil
	}
	if stored != nil && unreadable == nil && stored.Version == e.version {
		// What the state remembers of the last event is evidence: it is never made to fit.
		if p.Damage = e.wrongEnd(stored.LastHash); p.Damage != "" {
			return p, nil
		}
		e.folded.LastHash = stored.LastHash
	}
	p.row = store.NewPaymentRow(e.folded, e.row.PreviousVersion, e.folded.AppendJSON(nil))
	if p.row.PreviousVersion >= p.row.Version {
		p.row.PreviousVersion = p.row.Version - 1
	}
	if e.missing {
		p.Differences = []Difference{{
			Table: "payments", Field: "row", To: fmt.Sprintf("%s, version %d", e.folded.Status, e.folded.Version),
		}}
	} else {
		if unreadable != nil {
			stored = nil
		}
		var err error
		if p.Differences, err = e.rowDifferences(stored, &p.row); err != nil {
			return nil, err
		}
	}
	p.compareTimer(e)
	if len(p.Differences) == 0 {
		return nil, nil
	}
	return p, nil
}

// storedVersion is the version that the state says or, if it can't be read, the row.
func (e *examined) storedVersion(stored *payment.Payment, unreadable error) int64 {
	if unreadable != nil {
		return e.row.Version
	}
	return stored.Version
}

// rowDifferences compares the columns, and the state, which is nil if it can't be read.
func (e *examined) rowDifferences(stored *payment.Payment, wanted *store.PaymentRow) ([]Difference, error) {
	var differences []Difference
	for _, d := range columnDifferences(&e.row, wanted) {
		differences = append(differences, Difference{"payments", d.name, valueText(d.from), valueText(d.to)})
	}
	if stored == nil {
		return append(differences, Difference{"payments", "state", string(e.row.State), string(wanted.State)}), nil
	}
	fields, err := fieldDifferences(stored, e.folded)
	for _, d := range fields {
		differences = append(differences, Difference{"payments", "state." + d.name, string(d.from), string(d.to)})
	}
	return differences, err
}

// compareTimer adds the timer, if it isn't as the state asks for.
func (p *plan) compareTimer(e *examined) {
	if p.wrongTimer = wrongTimer(e.folded, e.due) != ""; !p.wrongTimer {
		return
	}
	d := Difference{Table: "timers", Field: store.TimerDue}
	if e.due != nil {
		d.From = timerText(e.due)
	}
	if p.dueAt = e.folded.DueAt(e.folded.UpdatedAt); !p.dueAt.IsZero() {
		d.To = timerText(&store.Timer{Tenant: e.folded.Tenant, DueAt: p.dueAt, FireAt: p.dueAt})
	}
	p.Differences = append(p.Differences, d)
}

// timerText describes a timer, its kind aside.
func timerText(t *store.Timer) string {
	text := "due " + valueText(t.DueAt) + " of " + t.Tenant
	if !t.FireAt.Equal(t.DueAt) {
		text += ", fires " + valueText(t.FireAt)
	}
	return text
}

// valueText is a value as people and programs read it; a zero time is no value.
func valueText(value any) string {
	if t, isTime := value.(time.Time); isTime {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(value)
}
