package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/store"
)

func newTimers(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "timers",
		Short: "Look at what payments wait for",
		Long: `A timer is when a payment needs attention without anyone asking: a retry, a question to the gateway about an unknown outcome, the
end of an authorization. A scheduler puts a resume command onto the bus when it is due.`,
		Example: "  tender timers ls --overdue",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTimersList(c))
	return cmd
}

// timersFlags are those of timers ls.
type timersFlags struct {
	filter    store.TimerFilter
	dueBefore string
	overdue   bool
	page      store.Page
}

func newTimersList(c *cli) *cobra.Command {
	var f timersFlags
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List timers in the order in which they fire",
		Long: `Ls shows timers, the next to fire first, a page at a time. When there is more it says how to go on (on standard error; --json
prints the timers only, one to a line).

  due     what the payment's own state asks for; goes or moves with the payment
  stale   a call to a gateway that nobody came back from, found by the scheduler's sweep

FIRES is later than DUE where a timer was FIRED and nothing has come of it yet: it fires again then. A timer that has fired
often is worth a look at tender history and tender dlq ls. Times are RFC 3339, a date (midnight UTC), or how long ago: 90m, 24h.`,
		Example: `  tender timers ls
  tender timers ls --overdue --tenant acme
  tender timers ls --kind stale
  tender timers ls --due-before 2026-03-01T12:00:00Z --json | jq -r .payment_id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := apart(cmd, "overdue", "due-before"); err != nil {
				return err
			}
			if err := f.complete(c.now()); err != nil {
				return err
			}
			return c.withStore(cmd.Context(), func(s *store.Store) error { return c.listTimers(cmd.Context(), s, f) })
		},
	}
	flags := cmd.Flags()
	bindTenantFilter(cmd, &f.filter.Tenant)
	flags.StringVar(&f.filter.Kind, "kind", "", "only timers of this `kind`: due or stale")
	flags.StringVar(&f.dueBefore, "due-before", "", "only timers that are due before this `time`")
	flags.BoolVar(&f.overdue, "overdue", false, "only timers that are due already")
	flags.IntVar(&f.page.Limit, "limit", 20, "timers on a page, 1 to 1000")
	flags.StringVar(&f.page.After, "after", "", "go on after this `position`, which the page before gave")
	return cmd
}

// complete reads the flags that have a form.
func (f *timersFlags) complete(now time.Time) error {
	if f.page.Limit < 1 || f.page.Limit > 1000 {
		return usageError("--limit must be between 1 and 1000, not %d", f.page.Limit)
	}
	if kinds := store.TimerKinds(); f.filter.Kind != "" && !slices.Contains(kinds, f.filter.Kind) {
		return usageError("--kind must be one of %v, not %q", kinds, f.filter.Kind)
	}
	var err error
	if f.filter.DueBefore, err = parseMoment("due-before", f.dueBefore, now); f.overdue {
		f.filter.DueBefore = now
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
}

func (c *cli) listTimers(ctx context.Context, s *store.Store, f timersFlags) error {
	timers, next, err := s.Timers(ctx, f.filter, f.page)
	if errors.Is(err, store.ErrInvalidCursor) {
		return usageError("--after: %w", err)
	}
	if err != nil {
		return err
	}
	if err := c.showTimers(timers); err != nil {
		return err
	}
	if next != "" {
		c.remark("there are more: --after %s", next)
	}
	return nil
}

func (c *cli) showTimers(timers []store.Timer) error {
	if c.json {
		for _, t := range timers {
			if err := c.printJSON(timerView(t)); err != nil {
				return err
			}
		}
		return nil
	}
	table := newTable(c.stdout, "FIRES", "PAYMENT", "TENANT", "KIND", "DUE", "FIRED")
	for _, t := range timers {
		table.row(moment(t.FireAt), t.PaymentID.String(), t.Tenant, t.Kind, moment(t.DueAt), fmt.Sprint(t.Fired))
	}
	return table.flush()
}
