package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

// letterFilters names the flags that narrow a selection.
const letterFilters = "--tenant, --command, --payment, --reason, --since and --until"

// letters are the flags that select dead letters.
type letters struct {
	filter       deadletter.Filter
	since, until string
	limit        int
}

func (f *letters) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	bindTenantFilter(cmd, &f.filter.Tenant)
	flags.StringVar(&f.filter.Command, "command", "", "only letters of this `command`, such as create")
	flags.StringVar(&f.filter.PaymentID, "payment", "", "only letters of this payment `id`")
	flags.StringVar(&f.filter.Reason, "reason", "", "only letters with this `reason`, such as invalid_json")
	flags.StringVar(&f.since, "since", "", "only letters since this `time`: RFC 3339, a date, or an age (24h)")
	flags.StringVar(&f.until, "until", "", "only letters before this `time`")
	flags.IntVar(&f.limit, "limit", 0, "maximum of letters, the oldest (default: all)")
}

// complete reads the flags that have a format.
func (f *letters) complete(now time.Time) error {
	if f.limit < 0 {
		return term.UsageError("--limit must not be negative")
	}
	_, err := messages.DeadLetterMatch{Command: f.filter.Command, PaymentID: f.filter.PaymentID}.Filter()
	if err != nil {
		return err
	}
	if f.filter.Since, err = parseMoment("since", f.since, now); err != nil {
		return err
	}
	f.filter.Until, err = parseMoment("until", f.until, now)
	return err
}

// each calls do for the letters that the flags select, until it fails.
func (f *letters) each(ctx context.Context, b *app.Bus, do func(deadletter.Letter) error) error {
	var failed error
	left := f.limit
	err := deadletter.List(ctx, b.JS, f.filter, func(l deadletter.Letter) bool {
		failed = do(l)
		left--
		return failed == nil && left != 0
	})
	return errors.Join(err, failed)
}

// sequencesOf lists the letters that the flags select. It reads the whole list first: a letter that
// fails again becomes a new letter, which is not to be sent in turn.
func (f *letters) sequencesOf(ctx context.Context, b *app.Bus) ([]uint64, error) {
	var sequences []uint64
	err := f.each(ctx, b, func(l deadletter.Letter) error {
		sequences = append(sequences, l.Sequence)
		return nil
	})
	return sequences, err
}

// named reads the sequences of the command line, and refuses a command line with neither those nor
// --all.
func (f *letters) named(args []string, all bool) ([]uint64, error) {
	if all != (len(args) == 0) {
		return nil, term.UsageError("name dead letters by their sequence, or give --all, narrowed by %s", letterFilters)
	}
	sequences := make([]uint64, 0, len(args))
	for _, arg := range args {
		sequence, err := parseSequence(arg)
		if err != nil {
			return nil, err
		}
		sequences = append(sequences, sequence)
	}
	return sequences, nil
}

func newDeadLetters(e *term.Env) *cobra.Command {
	dlq := &cobra.Command{
		Use:   "dlq",
		Short: "List dead letters, send them again, or discard them",
		Long: `Dead letters are commands that no worker could process: not JSON, an unknown field, a
card number, a payment of another tenant, or too many failed deliveries, also where only
the server saw those. The stream PAYMENTS_DLQ keeps them with the reason; card numbers
are masked.`,
		Example: "  tender dlq ls\n  tender dlq show 7\n  tender dlq redrive 7\n  tender dlq rm 8 --dry-run",
		Args:    cobra.NoArgs,
		RunE:    term.Help,
	}
	dlq.AddCommand(newLettersList(e), newLettersShow(e), newLettersRedrive(e), newLettersRemove(e))
	return dlq
}

// lettersList is `tender dlq ls`.
type lettersList struct {
	*term.Env
	letters
}

func newLettersList(e *term.Env) *cobra.Command {
	c := &lettersList{Env: e}
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List dead letters, oldest first",
		Example: `  tender dlq ls
  tender dlq ls --tenant acme --reason unknown_field --since 24h
  tender dlq ls --payment 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.complete(c.Now()); err != nil {
				return err
			}
			return app.WithBus(c.Env, func(b *app.Bus) error { return c.run(cmd.Context(), b) })
		},
	}
	c.bind(cmd)
	return cmd
}

func (c *lettersList) run(ctx context.Context, b *app.Bus) error {
	var t term.Table
	if !c.JSON {
		t = term.NewTable(c.Stdout, "SEQUENCE", "TIME", "REASON", "SUBJECT", "DELIVERIES", "DETAIL")
	}
	err := c.each(ctx, b, func(l deadletter.Letter) error {
		if c.JSON {
			return c.PrintJSON(newLetterView(l))
		}
		t.Row(fmt.Sprint(l.Sequence), term.Moment(l.DeadAt), l.Reason, l.OriginalSubject, fmt.Sprint(l.Deliveries), l.Detail)
		return nil
	})
	if err != nil || c.JSON {
		return err
	}
	return t.Flush()
}

// letterView shows a dead letter to programs. Body is its body where that is text.
type letterView struct {
	deadletter.Letter
	Body       string `json:"body,omitempty"`
	BodyBase64 []byte `json:"body_base64,omitempty"`
}

func newLetterView(l deadletter.Letter) letterView {
	v := letterView{Letter: l}
	if utf8.Valid(l.Body) {
		v.Body = string(l.Body)
	} else {
		v.BodyBase64 = l.Body
	}
	return v
}

// lettersShow is `tender dlq show`.
type lettersShow struct{ *term.Env }

func newLettersShow(e *term.Env) *cobra.Command {
	c := &lettersShow{Env: e}
	return &cobra.Command{
		Use:     "show SEQUENCE",
		Short:   "Show one dead letter with its headers and body",
		Example: "  tender dlq show 7",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sequence, err := parseSequence(args[0])
			if err != nil {
				return err
			}
			return app.WithBus(c.Env, func(b *app.Bus) error {
				l, err := deadletter.Get(cmd.Context(), b.JS, sequence)
				if errors.Is(err, deadletter.ErrNotFound) {
					return term.NoSuch("%w", err)
				}
				if err != nil {
					return err
				}
				if c.JSON {
					return c.PrintJSON(newLetterView(l))
				}
				return c.show(l)
			})
		},
	}
}

func parseSequence(text string) (uint64, error) {
	sequence, err := strconv.ParseUint(text, 10, 64)
	if err != nil || sequence == 0 {
		return 0, term.UsageError("a dead letter is named by its sequence, a number from tender dlq ls, not %q", text)
	}
	return sequence, nil
}

func (c *lettersShow) show(l deadletter.Letter) error {
	f := term.NewFacts(c.Stdout)
	f.Add("sequence", fmt.Sprint(l.Sequence))
	f.Add("reason", l.Reason)
	f.Add("detail", l.Detail)
	f.Add("subject", l.OriginalSubject)
	f.Add("from", fmt.Sprintf("%s %d", l.Stream, l.StreamSequence))
	f.Add("deliveries", fmt.Sprint(l.Deliveries))
	f.Add("time", term.Moment(l.DeadAt))
	names := make([]string, 0, len(l.Headers))
	for name := range l.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range l.Headers[name] {
			f.Add("header", name+": "+value)
		}
	}
	f.Add("body", fmt.Sprintf("%d bytes", l.BodySize))
	if err := f.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.Stdout, "\n%s\n", showBody(l.Body))
	return err
}

// showBody returns a body as it is if it is printable JSON, and quoted otherwise.
func showBody(body []byte) string {
	if json.Valid(body) && term.Printable(string(body)) == string(body) {
		return string(body)
	}
	return strconv.QuoteToGraphic(string(body))
}
