package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/store"
)

func newTimers(e *term.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "timers",
		Short: "List the timers of payments",
		Long: `A timer is a time at which a payment needs work without a command: a retry, a question to
the gateway about an unknown outcome, the end of an authorization. When it is due, the
scheduler puts a resume command onto the bus.`,
		Example: "  tender timers ls --overdue",
		Args:    cobra.NoArgs,
		RunE:    term.Help,
	}
	cmd.AddCommand(newTimersList(e))
	return cmd
}

// timersList is `tender timers ls`.
type timersList struct {
	*term.Env
	filter    store.TimerFilter
	dueBefore string
	overdue   bool
	page      store.Page
}

func newTimersList(e *term.Env) *cobra.Command {
	c := &timersList{Env: e}
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List timers in the order in which they fire",
		Long: `Ls shows timers, the next to fire first, a page at a time. If there are more, it names
the position to continue from (on standard error; --json prints the timers only, one to a
line).

  due     the payment's own state asks for it; it goes or moves with the payment
  stale   a call to a gateway without an answer or an error, found by the scheduler

FIRES is later than DUE where a timer was FIRED without effect: it fires again then. If a
timer has fired often, look at tender history and tender dlq ls. Times are RFC 3339, a
date (midnight UTC), or an age: 90m, 24h.`,
		Example: `  tender timers ls
  tender timers ls --overdue --tenant acme
  tender timers ls --kind stale
  tender timers ls --due-before 2026-03-01T12:00:00Z --json | jq -r .payment_id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := term.Apart(cmd, "overdue", "due-before"); err != nil {
				return err
			}
			if err := c.complete(); err != nil {
				return err
			}
			return app.WithStore(cmd.Context(), c.Env, func(s *store.Store) error { return c.run(cmd.Context(), s) })
		},
	}
	flags := cmd.Flags()
	bindTenantFilter(cmd, &c.filter.Tenant)
	flags.StringVar(&c.filter.Kind, "kind", "", "only timers of this `kind`: due or stale")
	flags.StringVar(&c.dueBefore, "due-before", "", "only timers that are due before this `time`")
	flags.BoolVar(&c.overdue, "overdue", false, "only timers that are due already")
	flags.IntVar(&c.page.Limit, "limit", 20, "timers on a page, 1 to 1000")
	flags.StringVar(&c.page.After, "after", "", "continue after this `position`, which the page before named")
	return cmd
}

// complete reads the flags that have a format.
func (c *timersList) complete() error {
	if c.page.Limit < 1 || c.page.Limit > 1000 {
		return term.UsageError("--limit must be between 1 and 1000, not %d", c.page.Limit)
	}
	if kinds := store.TimerKinds(); c.filter.Kind != "" && !slices.Contains(kinds, c.filter.Kind) {
		return term.UsageError("--kind must be one of %v, not %q", kinds, c.filter.Kind)
	}
	var err error
	if c.filter.DueBefore, err = parseMoment("due-before", c.dueBefore, c.Now()); c.overdue {
		c.filter.DueBefore = c.Now()
	}
	return err
}

// timerView shows a timer to programs.
type timerView struct {
	PaymentID uuid.UUID `json:"payment_id"`
	Tenant    string    `json:"tenant"`
	Kind      string    `json:"kind"`
	DueAt     time.Time `json:"due_at"`
	FireAt    time.Time `json:"fire_at"`
	Fired     int32     `json:"fired"`
	Gateway   string    `json:"gateway,omitempty"`
	Now       bool      `json:"now,omitempty"`
}

func (c *timersList) run(ctx context.Context, s *store.Store) error {
	timers, next, err := s.Timers(ctx, c.filter, c.page)
	if errors.Is(err, store.ErrInvalidCursor) {
		return term.UsageError("--after: %w", err)
	}
	if err != nil {
		return err
	}
	if err := c.show(timers); err != nil {
		return err
	}
	if next != "" {
		c.Remark("there are more: --after %s", next)
	}
	return nil
}

func (c *timersList) show(timers []store.Timer) error {
	if c.JSON {
		for _, t := range timers {
			if err := c.PrintJSON(timerView(t)); err != nil {
				return err
			}
		}
		return nil
	}
	table := term.NewTable(c.Stdout, "FIRES", "PAYMENT", "TENANT", "KIND", "DUE", "FIRED", "WAITS FOR")
	for _, t := range timers {
		table.Row(term.Moment(t.FireAt), t.PaymentID.String(), t.Tenant, t.Kind, term.Moment(t.DueAt), fmt.Sprint(t.Fired), t.Gateway)
	}
	return table.Flush()
}
