package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

// redriveFlags say which dead letters to send again.
type redriveFlags struct {
	letterFlags
	all, dryRun bool
}

func newLettersRedrive(c *cli) *cobra.Command {
	var f redriveFlags
	cmd := &cobra.Command{
		Use:   "redrive {SEQUENCE... | --all}",
		Short: "Send the originals of dead letters again and remove the letters",
		Long: `Redrive publishes the original command once more, under its own idempotency key, and removes the letter. What made it a dead
letter should have been put right before, or it will become one again. A letter whose original was masked or cut can't be sent
again; it is reported and kept (exit code 1). Redriving a letter twice, at once or after an interruption, has no second effect.`,
		Example: `  tender dlq redrive 7 9
  tender dlq redrive --all --reason deliveries_exhausted --since 2h --dry-run
  tender dlq redrive --all --reason deliveries_exhausted --since 2h`,
		RunE: func(cmd *cobra.Command, args []string) error {
			sequences, err := lettersNamed(args, f.all)
			if err != nil {
				return err
			}
			return c.withBus(func(b *link) error { return c.redrive(cmd.Context(), b, f, sequences) })
		},
	}
	f.bind(c, cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "every dead letter that "+letterFilters+" let through")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only say which")
	return cmd
}

func (c *cli) redrive(ctx context.Context, b *link, f redriveFlags, sequences []uint64) error {
	if f.all {
		// Listed before the first one is sent: one that fails again becomes a new letter, which is not to be sent in turn.
		err := f.each(ctx, b, func(l deadletter.Letter) error {
			sequences = append(sequences, l.Sequence)
			return nil
		})
		if err != nil {
			return err
		}
	}
	kept := 0
	for _, sequence := range sequences {
		result, err := c.redriveOne(ctx, b, f, sequence)
		if err != nil {
			return err
		}
		if result.Problem != "" {
			kept++
		}
		if err := c.showRedriven(result); err != nil {
			return err
		}
	}
	if !c.json && len(sequences) == 0 {
		c.remark("no dead letters")
	}
	if kept > 0 {
		return sayNo()
	}
	return nil
}

// redriven is what became of one letter.
type redriven struct {
	Sequence uint64 `json:"sequence"`
	Subject  string `json:"subject,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Redriven bool   `json:"redriven"`
	Problem  string `json:"problem,omitempty"`
}

// redriveOne fails only for reasons that would fail the next letter too.
func (c *cli) redriveOne(ctx context.Context, b *link, f redriveFlags, sequence uint64) (redriven, error) {
	act := deadletter.Redrive
	if f.dryRun {
		act = wouldRedrive
	}
	l, err := act(ctx, b.js, sequence)
	result := redriven{Sequence: sequence, Subject: l.OriginalSubject, Reason: l.Reason, Redriven: err == nil && !f.dryRun}
	if errors.Is(err, deadletter.ErrNotFound) || errors.Is(err, deadletter.ErrNotRedrivable) {
		result.Problem = err.Error()
		return result, nil
	}
	return result, err
}

// wouldRedrive is deadletter.Redrive without consequences.
func wouldRedrive(ctx context.Context, js jetstream.JetStream, sequence uint64) (deadletter.Letter, error) {
	l, err := deadletter.Get(ctx, js, sequence)
	if err != nil {
		return l, err
	}
	return l, l.Redrivable()
}

func (c *cli) showRedriven(r redriven) error {
	var err error
	switch {
	case c.json:
		err = c.printJSON(r)
	case r.Problem != "":
		_, err = fmt.Fprintf(c.stdout, "kept %d: %s\n", r.Sequence, printable(r.Problem))
	case r.Redriven:
		_, err = fmt.Fprintf(c.stdout, "sent %d again: %s (%s)\n", r.Sequence, printable(r.Subject), printable(r.Reason))
	default:
		_, err = fmt.Fprintf(c.stdout, "would send %d again: %s (%s)\n", r.Sequence, printable(r.Subject), printable(r.Reason))
	}
	return err
}
