package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

// letterFlags select dead letters.
type letterFlags struct {
	filter deadletter.Filter
	since  string
	limit  int
}

func (f *letterFlags) bind(c *cli, cmd *cobra.Command) {
	flags := cmd.Flags()
	bindTenantFilter(cmd, &f.filter.Tenant)
	flags.StringVar(&f.filter.Reason, "reason", "", "only letters with this `reason`, such as invalid_json")
	flags.StringVar(&f.since, "since", "", "only letters since this `time`: RFC 3339, a date, or how long ago (24h)")
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if f.filter.Since, err = parseMoment("since", f.since, c.now()); err != nil || before == nil {
			return err
		}
		return before(cmd, args)
	}
}

func newDeadLetters(c *cli) *cobra.Command {
	dlq := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters and send them again",
		Long: `Dead letters are commands that nothing could be made of: not JSON, an unknown field, a card number, a payment of another
tenant, or too many failed deliveries. They are kept in PAYMENTS_DLQ with the reason; card numbers in them are masked.`,
		Example: "  tender dlq ls\n  tender dlq show 7\n  tender dlq redrive 7",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	dlq.AddCommand(newLettersList(c), newLettersShow(c), newLettersRedrive(c))
	return dlq
}

// withBus connects to NATS for one command.
func (c *cli) withBus(do func(*bus) error) error {
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
		Example: "  tender dlq ls\n  tender dlq ls --tenant acme --reason unknown_field --since 24h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withBus(func(b *bus) error { return c.listLetters(cmd.Context(), b, f) })
		},
	}
	f.bind(c, cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 0, "at most so many (default: all)")
	return cmd
}

func (c *cli) listLetters(ctx context.Context, b *bus, f letterFlags) error {
	var t table
	if !c.json {
		t = newTable(c.stdout, "SEQUENCE", "TIME", "REASON", "SUBJECT", "DELIVERIES", "DETAIL")
	}
	var failed error
	shown := 0
	err := deadletter.List(ctx, b.js, f.filter, func(l deadletter.Letter) bool {
		if c.json {
			failed = c.printJSON(newLetterView(l))
		} else {
			t.row(fmt.Sprint(l.Sequence), moment(l.DeadAt), l.Reason, l.OriginalSubject, fmt.Sprint(l.Deliveries), l.Detail)
		}
		shown++
		return failed == nil && shown != f.limit
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	if c.json {
		return nil
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
			return c.withBus(func(b *bus) error {
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
