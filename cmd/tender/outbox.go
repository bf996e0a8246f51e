package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/outbox"
)

func newOutbox(e *term.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "Show and manage the events on their way to the bus",
		Long: `The outbox holds messages that are committed and not on the bus yet: events, and the
commands of timers. A relay publishes them in order; normally the outbox is empty within
milliseconds.`,
		Example: `  tender outbox status
  tender outbox unpark 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10
  tender outbox republish --dry-run`,
		Args: cobra.NoArgs,
		RunE: term.Help,
	}
	cmd.AddCommand(newOutboxStatus(e), newOutboxUnpark(e), newOutboxRepublish(e))
	return cmd
}

// outboxStatus is `tender outbox status`.
type outboxStatus struct {
	*term.Env
	limit int
}

func newOutboxStatus(e *term.Env) *cobra.Command {
	c := &outboxStatus{Env: e}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the size and age of the outbox, its relays and parked messages",
		Long: `Status counts the messages that wait for a relay. The relay parks a message that it
cannot publish, and later messages of the same payment wait behind it; other payments are
not held up. tender outbox unpark releases a payment's messages.

A relay is a session of PostgreSQL. PostgreSQL shows its name and address to its own role
and to members of pg_read_all_stats; other roles see only the number of the backend.`,
		Example: "  tender outbox status\n  tender outbox status --limit 0 --json | jq .parked_rows",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.limit < 0 {
				return term.UsageError("--limit must not be negative")
			}
			return app.WithDatabase(cmd.Context(), c.Env, func(pool *pgxpool.Pool) error { return c.run(cmd.Context(), pool) })
		},
	}
	cmd.Flags().IntVar(&c.limit, "limit", 20, "maximum of parked messages to list, the oldest; 0 lists all")
	return cmd
}

// outboxUnpark is `tender outbox unpark`.
type outboxUnpark struct {
	*term.Env
	all    bool
	reason string
}

func newOutboxUnpark(e *term.Env) *cobra.Command {
	c := &outboxUnpark{Env: e}
	cmd := &cobra.Command{
		Use:   "unpark {KEY | --all}",
		Short: "Release the parked messages of a payment",
		Long: `Unpark releases parked messages, and those that wait behind them, to the relays. Remove
the cause first: the relay parks a message again that it still cannot publish.`,
		Example: `  tender outbox unpark 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10
  tender outbox unpark --all --reason "maximum payload"`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.all != (len(args) == 0) || c.reason != "" && !c.all {
				return term.UsageError("name the key of a payment, or give --all, narrowed by --reason")
			}
			return app.WithDatabase(cmd.Context(), c.Env, func(pool *pgxpool.Pool) error {
				if c.all {
					return c.unparkAll(cmd.Context(), pool)
				}
				return c.unpark(cmd.Context(), pool, args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&c.all, "all", false, "every parked message")
	cmd.Flags().StringVar(&c.reason, "reason", "", "with --all: only messages parked for a reason with this `text` in it")
	return cmd
}

func (c *outboxUnpark) unpark(ctx context.Context, pool *pgxpool.Pool, key string) error {
	n, err := outbox.Unpark(ctx, pool, key)
	if err != nil {
		return err
	}
	if n == 0 {
		return term.NoSuch("nothing is parked under %q", key)
	}
	if c.JSON {
		return c.PrintJSON(map[string]any{"key": key, "unparked": n})
	}
	_, err = fmt.Fprintf(c.Stdout, "unparked %d under %s\n", n, key)
	return err
}

func (c *outboxUnpark) unparkAll(ctx context.Context, pool *pgxpool.Pool) error {
	n, err := outbox.UnparkAll(ctx, pool, c.reason)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.PrintJSON(map[string]any{"unparked": n})
	}
	_, err = fmt.Fprintf(c.Stdout, "unparked %d\n", n)
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

func (c *outboxStatus) run(ctx context.Context, pool *pgxpool.Pool) error {
	status, err := outbox.Inspect(ctx, pool)
	if err != nil {
		return err
	}
	parked, err := outbox.Parked(ctx, pool, 0, cmp.Or(c.limit, math.MaxInt32))
	if err != nil {
		return err
	}
	if c.JSON {
		return c.PrintJSON(newOutboxView(status, parked))
	}
	f := term.NewFacts(c.Stdout)
	f.Add("waiting", fmt.Sprint(status.Waiting))
	if status.Waiting > 0 {
		f.Add("oldest", status.OldestAge.Round(time.Millisecond).String()+" ago")
	}
	f.Add("parked", fmt.Sprint(status.Parked))
	f.Add("behind parked", fmt.Sprint(status.Behind))
	f.Add("published by", publishers(status.Owners))
	if err := f.Flush(); err != nil || len(parked) == 0 {
		return err
	}
	fmt.Fprintln(c.Stdout)
	t := term.NewTable(c.Stdout, "KEY", "SUBJECT", "PARKED", "BEHIND", "REASON")
	for _, r := range parked {
		t.Row(r.OrderingKey, r.Subject, term.Moment(r.ParkedAt), fmt.Sprint(r.Behind), r.Reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := status.Parked - int64(len(parked)); more > 0 {
		c.Remark("%d more are parked: --limit 0 lists all", more)
	}
	return nil
}

// publishers names the relays that own the partitions.
func publishers(owners []outbox.Owner) string {
	if len(owners) == 0 {
		return "no relay is running"
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
		text += fmt.Sprintf("; no relay (%d of %d partitions)", alone, outbox.Partitions)
	}
	return text
}
