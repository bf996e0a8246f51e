package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// paymentVerdict is the result of verify for one payment, for programs.
type paymentVerdict struct {
	OK bool `json:"ok"`
	books.PaymentCheck
}

func (c *verify) runPayments(ctx context.Context, pool *pgxpool.Pool, payments []uuid.UUID) error {
	clean := true
	others, err := c.compareNamed(ctx, pool, payments)
	if err != nil {
		return err
	}
	for _, id := range payments {
		p, err := books.CheckPayment(ctx, pool, id, c.options)
		if err != nil {
			return err
		}
		for _, f := range others.Findings {
			if f.PaymentID == id || f.PaymentID == uuid.Nil {
				p.Findings = append(p.Findings, f)
			}
		}
		clean = clean && p.Clean() && !p.Nothing()
		if c.JSON {
			err = c.PrintJSON(paymentVerdict{p.Clean() && !p.Nothing(), p})
		} else {
			err = c.showPaymentCheck(p)
		}
		if err != nil {
			return err
		}
	}
	if !clean || !others.Clean() {
		return term.SayNo()
	}
	return nil
}

// compareNamed compares the payments with the bus and the ledgers, as far as the flags ask for it.
func (c *verify) compareNamed(ctx context.Context, pool *pgxpool.Pool, payments []uuid.UUID) (books.Report, error) {
	report := books.Report{At: c.options.Now, Checked: map[books.Invariant]int64{}, Violated: map[books.Invariant]int64{}}
	if report.At.IsZero() {
		report.At = c.Now()
	}
	err := c.compareOthers(ctx, pool, c.options, &report, payments...)
	return report, err
}

func (c *verify) showPaymentCheck(p books.PaymentCheck) error {
	there := fmt.Sprintf("%d events, %d timers, %d idempotency keys, %d outbox rows", len(p.Events), p.Timers, p.Claims, p.OutboxRows)
	if !p.Exists {
		there = "no payment, " + there
	}
	switch {
	case p.Nothing():
		_, err := fmt.Fprintf(c.Stdout, "payment %s: nothing is stored about it\n", p.PaymentID)
		return err
	case p.Clean():
		_, err := fmt.Fprintf(c.Stdout, "payment %s: everything holds (%s)\n", p.PaymentID, there)
		return err
	}
	fmt.Fprintf(c.Stdout, "payment %s: violations: %d (%s)\n", p.PaymentID, len(p.Findings), there)
	if err := c.showFaultyHistory(p.Events); err != nil {
		return err
	}
	return c.showFindings(p.Findings)
}

// showFaultyHistory shows the events if one of them is faulty.
func (c *verify) showFaultyHistory(events []books.EventCheck) error {
	faulty := false
	for _, e := range events {
		faulty = faulty || len(e.Problems) > 0
	}
	if !faulty {
		return nil
	}
	fmt.Fprintln(c.Stdout)
	t := term.NewTable(c.Stdout, "VERSION", "TIME", "EVENT", "VERDICT")
	for _, e := range events {
		verdict := "holds"
		if e.Unchecked {
			verdict = "not checked: it follows an event that does not hold"
		}
		if len(e.Problems) > 0 {
			verdict = join(e.Problems...)
		}
		t.Row(fmt.Sprint(e.Version), term.Moment(e.OccurredAt), e.Type, verdict)
	}
	return t.Flush()
}
