package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// list is `tender list`.
type list struct {
	*term.Env
	filter               store.ListFilter
	status, since, until string
	page                 store.Page
	all                  bool
}

func newList(e *term.Env) *cobra.Command {
	c := &list{Env: e}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List payments, newest first",
		Long: `List shows payments, newest first, a page at a time. If there are more, it names the
position to continue from (on standard error; --json prints the payments only, one to a
line). A page begins where the one before ended, also if payments were created meanwhile.

Times are RFC 3339, a date (midnight UTC), or an age: 90m, 24h.`,
		Example: `  tender list
  tender list --customer cus_42 --status captured
  tender list --since 24h --limit 100
  tender list --reference order-42 --json
  tender list --since 2026-03-01 --all --json > march.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.complete(); err != nil {
				return err
			}
			return app.WithStore(cmd.Context(), c.Env, func(s *store.Store) error { return c.run(cmd.Context(), s) })
		},
	}
	flags := cmd.Flags()
	bindTenantFilter(cmd, &c.filter.Tenant)
	flags.StringVar(&c.filter.CustomerID, "customer", "", "only payments of this customer `id`")
	flags.StringVar(&c.filter.MerchantReference, "reference", "", "only payments with this merchant `reference`")
	flags.StringVar(&c.status, "status", "", "only payments in this `status`, such as captured")
	flags.StringVar(&c.since, "since", "", "only payments created at this `time` or later")
	flags.StringVar(&c.until, "until", "", "only payments created before this `time`")
	flags.IntVar(&c.page.Limit, "limit", 20, "payments on a page, 1 to 1000")
	flags.StringVar(&c.page.After, "after", "", "continue after this `position`, which the page before named")
	flags.BoolVar(&c.all, "all", false, "every page")
	return cmd
}

// complete reads the flags that have a format.
func (c *list) complete() error {
	if c.page.Limit < 1 || c.page.Limit > 1000 {
		return term.UsageError("--limit must be between 1 and 1000, not %d", c.page.Limit)
	}
	c.filter.Status = messages.Status(c.status)
	if c.status != "" && !slices.Contains(messages.Statuses(), c.filter.Status) {
		return term.UsageError("--status must be one of %v, not %q", messages.Statuses(), c.status)
	}
	var err error
	if c.filter.CreatedFrom, err = parseMoment("since", c.since, c.Now()); err != nil {
		return err
	}
	c.filter.CreatedTo, err = parseMoment("until", c.until, c.Now())
	return err
}

// parseMoment reads the time of a flag: a point in time, or an age. The empty text is the zero
// time.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, term.UsageError("--%s must be a time such as 2026-03-01T12:00:00Z, 2026-03-01 or 24h (ago), not %q", flag, text)
}

func (c *list) run(ctx context.Context, s *store.Store) error {
	t := term.Table{}
	if !c.JSON {
		t = term.NewTable(c.Stdout, "PAYMENT", "TENANT", "STATUS", "AMOUNT", "CAPTURED", "REFUNDED", "CUSTOMER", "REFERENCE", "CREATED")
	}
	for {
		page, err := s.List(ctx, c.filter, c.page)
		if errors.Is(err, store.ErrInvalidCursor) {
			return term.UsageError("--after: %w", err)
		}
		if err != nil {
			return err
		}
		for _, p := range page.Payments {
			if err := c.show(t, p); err != nil {
				return err
			}
		}
		if c.page.After = page.Next; page.Next != "" && c.all {
			continue
		}
		if !c.JSON {
			if err := t.Flush(); err != nil {
				return err
			}
		}
		if page.Next != "" {
			c.Remark("there are more: --after %s", page.Next)
		}
		return nil
	}
}

func (c *list) show(t term.Table, p *payment.Payment) error {
	if c.JSON {
		return c.PrintJSON(newPaymentView(p))
	}
	t.Row(p.ID.String(), p.Tenant, string(p.Status), term.Amount(p.AmountMinor, p.Currency), term.SomeAmount(p.CapturedMinor, p.Currency),
		term.SomeAmount(p.RefundedMinor, p.Currency), p.CustomerID, p.MerchantReference, term.Moment(p.CreatedAt))
	return nil
}

// history is `tender history`.
type history struct {
	*term.Env
	tenant string
}

func newHistory(e *term.Env) *cobra.Command {
	c := &history{Env: e}
	cmd := &cobra.Command{
		Use:   "history PAYMENT",
		Short: "Show every event of a payment",
		Long: `History shows the events of a payment in order. The events of an operation are Tender's
own record of its calls to a gateway and are not published. --json prints the events as
they are on the bus, one to a line.`,
		Example: "  tender history 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := messages.ParsePaymentID(args[0])
			if err != nil {
				return err
			}
			return app.WithStore(cmd.Context(), c.Env, func(s *store.Store) error {
				events, err := s.History(cmd.Context(), c.tenant, id)
				if err != nil {
					return err
				}
				return c.show(events)
			})
		},
	}
	bindTenantFilter(cmd, &c.tenant)
	return cmd
}

func (c *history) show(events []messages.Event) error {
	if c.JSON {
		for _, e := range events {
			view, err := eventJSON(e)
			if err != nil {
				return err
			}
			if err := c.PrintJSON(view); err != nil {
				return err
			}
		}
		return nil
	}
	says := narratorOf(events)
	t := term.NewTable(c.Stdout, "VERSION", "TIME", "EVENT", "STATUS", "DETAILS")
	for _, e := range events {
		t.Row(fmt.Sprint(e.Version), term.Moment(e.OccurredAt), string(e.Type()), string(e.Status), says.describe(e))
	}
	return t.Flush()
}
