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

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

// letterFlags select dead letters.
type letterFlags struct {
	filter       deadletter.Filter
	since, until string
	limit        int
}

// letterFilters names the flags that narrow a selection.
const letterFilters = "--tenant, --command, --payment, --reason, --since and --until"

func (f *letterFlags) bind(c *cli, cmd *cobra.Command) {
	flags := cmd.Flags()
	bindTenantFilter(cmd, &f.filter.Tenant)
	flags.StringVar(&f.filter.Command, "command", "", "only letters of this `command`, such as create")
	flags.StringVar(&f.filter.PaymentID, "payment", "", "only letters of this payment `id`")
	flags.StringVar(&f.filter.Reason, "reason", "", "only letters with this `reason`, such as invalid_json")
	flags.StringVar(&f.since, "since", "", "only letters since this `time`: RFC 3339, a date, or how long ago (24h)")
	flags.StringVar(&f.until, "until", "", "only letters before this `time`")
	flags.IntVar(&f.limit, "limit", 0, "at most so many, the oldest (default: all)")
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if err := f.complete(c.now()); err != nil || before == nil {
			return err
		}
		return before(cmd, args)
	}
}

func (f *letterFlags) complete(now time.Time) error {
	if f.limit < 0 {
		return usageError("--limit must not be negative")
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
func (f *letterFlags) each(ctx context.Context, b *link, do func(deadletter.Letter) error) error {
	var failed error
	left := f.limit
	err := deadletter.List(ctx, b.js, f.filter, func(l deadletter.Letter) bool {
		failed = do(l)
		left--
		return failed == nil && left != 0
	})
	return errors.Join(err, failed)
}

// lettersNamed reads the sequences of the command line, or makes sure that --all stands in their place.
func lettersNamed(args []string, all bool) ([]uint64, error) {
	if all != (len(args) == 0) {
		return nil, usageError("name dead letters by their sequence, or give --all, narrowed by %s", letterFilters)
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

func newDeadLetters(c *cli) *cobra.Command {
	dlq := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters, send them again, or discard them",
		Long: `Dead letters are commands that nothing could be made of: not JSON, an unknown field, a card number, a payment of another
tenant, or too many failed deliveries, also where the server alone saw those. They are kept in PAYMENTS_DLQ with the reason;
card numbers in them are masked.`,
		Example: "  tender dlq ls\n  tender dlq show 7\n  tender dlq redrive 7\n  tender dlq rm 8 --dry-run",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	dlq.AddCommand(newLettersList(c), newLettersShow(c), newLettersRedrive(c), newLettersRemove(c))
	return dlq
}

// withBus connects to NATS for one command.
func (c *cli) withBus(do func(*link) error) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	b, err := openBus(cfg)
	if err != nil {
		return err
	}
	defer b.close()
	err = do(b)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return notReady(serviceNATS, cfg.NATS.URL, fmt.Errorf("run tender provision: %w", err))
	}
	return err
}

func newLettersList(c *cli) *cobra.Command {
	var f letterFlags
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List dead letters, oldest first",
		Example: `  tender dlq ls
  tender dlq ls --tenant acme --reason unknown_field --since 24h
  tender dlq ls --payment 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withBus(func(b *link) error { return c.listLetters(cmd.Context(), b, f) })
		},
	}
	f.bind(c, cmd)
	return cmd
}

func (c *cli) listLetters(ctx context.Context, b *link, f letterFlags) error {
	var t table
	if !c.json {
		t = newTable(c.stdout, "SEQUENCE", "TIME", "REASON", "SUBJECT", "DELIVERIES", "DETAIL")
	}
	err := f.each(ctx, b, func(l deadletter.Letter) error {
		if c.json {
			return c.printJSON(newLetterView(l))
		}
		t.row(fmt.Sprint(l.Sequence), moment(l.DeadAt), l.Reason, l.OriginalSubject, fmt.Sprint(l.Deliveries), l.Detail)
		return nil
	})
	if err != nil || c.json {
		return err
	}
	return t.flush()
}

// letterView shows a dead letter to programs, with its body readable where it is text.
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

func newLettersShow(c *cli) *cobra.Command {
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
			return c.withBus(func(b *link) error {
				l, err := deadletter.Get(cmd.Context(), b.js, sequence)
				if errors.Is(err, deadletter.ErrNotFound) {
					return noSuch("%w", err)
				}
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(newLetterView(l))
				}
				return c.showLetter(l)
			})
		},
	}
}

func parseSequence(text string) (uint64, error) {
	sequence, err := strconv.ParseUint(text, 10, 64)
	if err != nil || sequence == 0 {
		return 0, usageError("a dead letter is named by its sequence, a number from tender dlq ls, not %q", text)
	}
	return sequence, nil
}

func (c *cli) showLetter(l deadletter.Letter) error {
	f := newFacts(c.stdout)
	f.add("sequence", fmt.Sprint(l.Sequence))
	f.add("reason", l.Reason)
	f.add("detail", l.Detail)
	f.add("subject", l.OriginalSubject)
	f.add("from", fmt.Sprintf("%s %d", l.Stream, l.StreamSequence))
	f.add("deliveries", fmt.Sprint(l.Deliveries))
	f.add("time", moment(l.DeadAt))
	names := make([]string, 0, len(l.Headers))
	for name := range l.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range l.Headers[name] {
			f.add("header", name+": "+value)
		}
	}
	f.add("body", fmt.Sprintf("%d bytes", l.BodySize))
	if err := f.flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.stdout, "\n%s\n", showBody(l.Body))
	return err
}

// showBody gives a body as it is if a terminal can take it, and quoted otherwise.
func showBody(body []byte) string {
	if json.Valid(body) && printable(string(body)) == string(body) {
		return string(body)
	}
	return strconv.QuoteToGraphic(string(body))
}
