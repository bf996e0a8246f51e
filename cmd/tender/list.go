package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// listFlags are those of list.
type listFlags struct {
	filter               store.ListFilter
	status, since, until string
	page                 store.Page
	all                  bool
}

func newList(c *cli) *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List payments, newest first",
		Long: `List shows payments, newest first, a page at a time. When there is more it says how to go on (on standard error; --json
prints the payments only, one to a line). A page begins where the one before ended, whatever was created meanwhile.

Times are RFC 3339, a date (midnight UTC), or how long ago: 90m, 24h.`,
		Example: `  tender list
  tender list --customer cus_42 --status captured
  tender list --since 24h --limit 100
  tender list --reference order-42 --json
  tender list --since 2026-03-01 --all --json > march.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(c.now()); err != nil {
				return err
			}
			return c.withStore(cmd.Context(), func(s *store.Store) error { return c.list(cmd.Context(), s, f) })
		},
	}
	flags := cmd.Flags()
	bindTenantFilter(cmd, &f.filter.Tenant)
	flags.StringVar(&f.filter.CustomerID, "customer", "", "only payments of this customer `id`")
	flags.StringVar(&f.filter.MerchantReference, "reference", "", "only payments with this merchant `reference`")
	flags.StringVar(&f.status, "status", "", "only payments in this `status`, such as captured")
	flags.StringVar(&f.since, "since", "", "only payments created at this `time` or later")
	flags.StringVar(&f.until, "until", "", "only payments created before this `time`")
	flags.IntVar(&f.page.Limit, "limit", 20, "payments on a page, 1 to 1000")
	flags.StringVar(&f.page.After, "after", "", "go on after this `position`, which the page before gave")
	flags.BoolVar(&f.all, "all", false, "every page")
	return cmd
}

// complete reads the flags that have a form.
func (f *listFlags) complete(now time.Time) error {
	if f.page.Limit < 1 || f.page.Limit > 1000 {
		return usageError("--limit must be between 1 and 1000, not %d", f.page.Limit)
	}
	f.filter.Status = messages.Status(f.status)
	if f.status != "" && !slices.Contains(messages.Statuses(), f.filter.Status) {
		return usageError("--status must be one of %v, not %q", messages.Statuses(), f.status)
	}
	var err error
	if f.filter.CreatedFrom, err = parseMoment("since", f.since, now); err != nil {
		return err
	}
	f.filter.CreatedTo, err = parseMoment("until", f.until, now)
	return err
}

// parseMoment reads the time of a flag: a point in time, or how long ago. Nothing is the zero time.
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
	return time.Time{}, usageError("--%s must be a time such as 2026-03-01T12:00:00Z, 2026-03-01 or 24h (ago), not %q", flag, text)
}

func (c *cli) list(ctx context.Context, s *store.Store, f listFlags) error {
	t := table{}
	if !c.json {
		t = newTable(c.stdout, "PAYMENT", "TENANT", "STATUS", "AMOUNT", "CAPTURED", "REFUNDED", "CUSTOMER", "REFERENCE", "CREATED")
	}
	for {
		page, err := s.List(ctx, f.filter, f.page)
		if errors.Is(err, store.ErrInvalidCursor) {
			return usageError("--after: %w", err)
		}
		if err != nil {
			return err
		}
		for _, p := range page.Payments {
			if err := c.listPayment(t, p); err != nil {
				return err
			}
		}
		if f.page.After = page.Next; page.Next != "" && f.all {
			continue
		}
		if !c.json {
			if err := t.flush(); err != nil {
				return err
			}
		}
		if page.Next != "" {
			c.remark("there are more: --after %s", page.Next)
		}
		return nil
	}
}

func (c *cli) listPayment(t table, p *payment.Payment) error {
	if c.json {
		return c.printJSON(newPaymentView(p))
	}
	t.row(p.ID.String(), p.Tenant, string(p.Status), amount(p.AmountMinor, p.Currency), someAmount(p.CapturedMinor, p.Currency),
		someAmount(p.RefundedMinor, p.Currency), p.CustomerID, p.MerchantReference, moment(p.CreatedAt))
	return nil
}

func newHistory(c *cli) *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use:   "history PAYMENT",
		Short: "Show everything that happened to a payment",
		Long: `History shows the events of a payment in order. Those of an operation are Tender's own notes of what was sent to a gateway
and are not published. --json prints the events as they are on the bus, one to a line.`,
		Example: "  tender history 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := messages.ParsePaymentID(args[0])
			if err != nil {
				return err
			}
			return c.withStore(cmd.Context(), func(s *store.Store) error {
				events, err := s.History(cmd.Context(), tenant, id)
				if err != nil {
					return err
				}
				return c.showHistory(events)
			})
		},
	}
	bindTenantFilter(cmd, &tenant)
	return cmd
}

func (c *cli) showHistory(events []messages.Event) error {
	if c.json {
		for _, e := range events {
			view, err := eventJSON(e)
			if err != nil {
				return err
			}
			if err := c.printJSON(view); err != nil {
				return err
			}
		}
		return nil
	}
	says := narratorOf(events)
	t := newTable(c.stdout, "VERSION", "TIME", "EVENT", "STATUS", "DETAILS")
	for _, e := range events {
		t.row(fmt.Sprint(e.Version), moment(e.OccurredAt), string(e.Type()), string(e.Status), says.describe(e))
	}
	return t.flush()
}
