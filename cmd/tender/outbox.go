package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/outbox"
)

func newOutbox(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "Look at events on their way from the database to the bus",
		Long: `The outbox holds what was committed and is not on the bus yet: events, and the commands of timers. A relay publishes it in
order; normally it is empty within milliseconds.`,
		Example: `  tender outbox status
  tender outbox unpark 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10
  tender outbox republish --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newOutboxStatus(c), newOutboxUnpark(c), newOutboxRepublish(c))
	return cmd
}

func newOutboxStatus(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "status",
		Short: "How much waits, since when, who publishes, and what is parked",
		Long: `Status counts the messages that wait to be published. A message that cannot be published is parked, and what comes after it of
the same payment waits behind it; other payments go on. tender outbox unpark lets a payment's messages go again.

Who publishes is a session of PostgreSQL. Its name and address are shown to the role that it belongs to, and to members of
pg_read_all_stats; others see the number of the backend.`,
		Example: "  tender outbox status\n  tender outbox status --limit 0 --json | jq .parked_rows",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usageError("--limit must not be negative")
			}
			return c.withDatabase(cmd.Context(), func(pool *pgxpool.Pool) error { return c.outboxStatus(cmd.Context(), pool, limit) })
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "parked messages to list at most, the oldest; 0 lists all")
	return cmd
}

// unparkFlags say what to unpark beside a key.
type unparkFlags struct {
	all    bool
	reason string
}

func newOutboxUnpark(c *cli) *cobra.Command {
	var f unparkFlags
	cmd := &cobra.Command{
		Use:   "unpark {KEY | --all}",
		Short: "Let the parked messages of a payment be published again",
		Long: `Unpark lets parked messages be published again, and what waits behind them. What was in their way should have been put right
before: a message that still cannot be published is parked again.`,
		Example: `  tender outbox unpark 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10
  tender outbox unpark --all --reason "maximum payload"`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.all != (len(args) == 0) || f.reason != "" && !f.all {
				return usageError("name the key of a payment, or give --all, narrowed by --reason")
			}
			return c.withDatabase(cmd.Context(), func(pool *pgxpool.Pool) error {
				if f.all {
					return c.unparkAll(cmd.Context(), pool, f.reason)
				}
				return c.unpark(cmd.Context(), pool, args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&f.all, "all", false, "everything that is parked")
	cmd.Flags().StringVar(&f.reason, "reason", "", "with --all: only what is parked for a reason with this `text` in it")
	return cmd
}

func (c *cli) unpark(ctx context.Context, pool *pgxpool.Pool, key string) error {
	n, err := outbox.Unpark(ctx, pool, key)
	if err != nil {
		return err
	}
	if n == 0 {
		return noSuch("nothing is parked under %q", key)
	}
	if c.json {
		return c.printJSON(map[string]any{"key": key, "unparked": n})
	}
	_, err = fmt.Fprintf(c.stdout, "unparked %d under %s\n", n, key)
	return err
}

func (c *cli) unparkAll(ctx context.Context, pool *pgxpool.Pool, reason string) error {
	n, err := outbox.UnparkAll(ctx, pool, reason)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(map[string]any{"unparked": n})
	}
	_, err = fmt.Fprintf(c.stdout, "unparked %d\n", n)
	return err
}

// outboxView shows the outbox to programs.
type outboxView struct {
	Waiting   int64        `json:"waiting"`
	Parked    int64        `json:"parked"`
	Behind    int64        `json:"behind"`
	OldestAge float64      `json:"oldest_age_seconds"`
	Owners    []ownerView  `json:"owners"`
	Rows      []parkedView `json:"parked_rows"`
}

type ownerView struct {
	Partition   int       `json:"partition"`
	PID         int       `json:"pid"`
	Application string    `json:"application,omitempty"`
	Address     string    `json:"address,omitempty"`
	Since       time.Time `json:"since,omitzero"`
}

type parkedView struct {
	ID          int64     `json:"id"`
	MessageID   string    `json:"message_id"`
	Subject     string    `json:"subject"`
	OrderingKey string    `json:"key"`
	PayloadSize int       `json:"payload_size"`
	CreatedAt   time.Time `json:"created_at"`
	ParkedAt    time.Time `json:"parked_at"`
	Reason      string    `json:"reason"`
	Behind      int64     `json:"behind"`
}

func newOutboxView(s outbox.Status, rows []outbox.ParkedRow) outboxView {
	v := outboxView{
		Waiting: s.Waiting, Parked: s.Parked, Behind: s.Behind, OldestAge: s.OldestAge.Seconds(),
		Owners: []ownerView{}, Rows: []parkedView{},
	}
	for _, o := range s.Owners {
		v.Owners = append(v.Owners, ownerView(o))
	}
	for _, r := range rows {
		v.Rows = append(v.Rows, parkedView(r))
	}
	return v
}

func (c *cli) outboxStatus(ctx context.Context, pool *pgxpool.Pool, limit int) error {
	status, err := outbox.Inspect(ctx, pool)
	if err != nil {
		return err
	}
	parked, err := outbox.Parked(ctx, pool, 0, cmp.Or(limit, math.MaxInt32))
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(newOutboxView(status, parked))
	}
	f := newFacts(c.stdout)
	f.add("waiting", fmt.Sprint(status.Waiting))
	if status.Waiting > 0 {
		f.add("oldest", status.OldestAge.Round(time.Millisecond).String()+" ago")
	}
	f.add("parked", fmt.Sprint(status.Parked))
	f.add("behind parked", fmt.Sprint(status.Behind))
	f.add("published by", publishers(status.Owners))
	if err := f.flush(); err != nil || len(parked) == 0 {
		return err
	}
	fmt.Fprintln(c.stdout)
	t := newTable(c.stdout, "KEY", "SUBJECT", "PARKED", "BEHIND", "REASON")
	for _, r := range parked {
		t.row(r.OrderingKey, r.Subject, moment(r.ParkedAt), fmt.Sprint(r.Behind), r.Reason)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if more := status.Parked - int64(len(parked)); more > 0 {
		c.remark("%d more are parked: --limit 0 lists all", more)
	}
	return nil
}

// publishers names who owns the partitions.
func publishers(owners []outbox.Owner) string {
	if len(owners) == 0 {
		return "nobody: no relay is running"
	}
	partitions := map[string]int{}
	var names []string
	for _, o := range owners {
		name := join(o.Application, o.Address, fmt.Sprint("backend ", o.PID))
		if partitions[name]++; partitions[name] == 1 {
			names = append(names, name)
		}
	}
	text := ""
	for i, name := range names {
		if i > 0 {
			text += "; "
		}
		text += fmt.Sprintf("%s (%d of %d partitions)", name, partitions[name], outbox.Partitions)
	}
	if alone := outbox.Partitions - len(owners); alone > 0 {
		text += fmt.Sprintf("; nobody (%d of %d partitions)", alone, outbox.Partitions)
	}
	return text
}
