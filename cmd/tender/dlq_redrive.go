package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

// lettersRedrive is `tender dlq redrive`.
type lettersRedrive struct {
	*term.Env
	letters
	all, dryRun bool
}

func newLettersRedrive(e *term.Env) *cobra.Command {
	c := &lettersRedrive{Env: e}
	cmd := &cobra.Command{
		Use:   "redrive {SEQUENCE... | --all}",
		Short: "Send the originals of dead letters again and remove the letters",
		Long: `Redrive publishes the original command once more, under its own idempotency key, and
removes the letter. Remove the cause first, or the command becomes a dead letter again. A
letter whose original was masked or cut cannot be sent again; redrive reports and keeps
it (exit code 1). Redriving a letter twice, at once or after an interruption, has no
second effect.`,
		Example: `  tender dlq redrive 7 9
  tender dlq redrive --all --reason deliveries_exhausted --since 2h --dry-run
  tender dlq redrive --all --reason deliveries_exhausted --since 2h`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.complete(c.Now()); err != nil {
				return err
			}
			sequences, err := c.named(args, c.all)
			if err != nil {
				return err
			}
			return app.WithBus(c.Env, func(b *app.Bus) error { return c.run(cmd.Context(), b, sequences) })
		},
	}
	c.bind(cmd)
	cmd.Flags().BoolVar(&c.all, "all", false, "every dead letter, narrowed by the other flags")
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "only list them")
	return cmd
}

func (c *lettersRedrive) run(ctx context.Context, b *app.Bus, sequences []uint64) error {
	if c.all {
		var err error
		if sequences, err = c.sequencesOf(ctx, b); err != nil {
			return err
		}
	}
	kept := 0
	for _, sequence := range sequences {
		result, err := c.redriveOne(ctx, b, sequence)
		if err != nil {
			return err
		}
		if result.Problem != "" {
			kept++
		}
		if err := c.show(result); err != nil {
			return err
		}
	}
	if !c.JSON && len(sequences) == 0 {
		c.Remark("no dead letters")
	}
	if kept > 0 {
		return term.SayNo()
	}
	return nil
}

// redriven is the result of one letter.
type redriven struct {
	Sequence uint64 `json:"sequence"`
	Subject  string `json:"subject,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Redriven bool   `json:"redriven"`
	Problem  string `json:"problem,omitempty"`
}

// redriveOne fails only for reasons that would fail the next letter as well.
func (c *lettersRedrive) redriveOne(ctx context.Context, b *app.Bus, sequence uint64) (redriven, error) {
	act := deadletter.Redrive
	if c.dryRun {
		act = wouldRedrive
	}
	l, err := act(ctx, b.JS, sequence)
	result := redriven{Sequence: sequence, Subject: l.OriginalSubject, Reason: l.Reason, Redriven: err == nil && !c.dryRun}
	if errors.Is(err, deadletter.ErrNotFound) || errors.Is(err, deadletter.ErrNotRedrivable) {
		result.Problem = err.Error()
		return result, nil
	}
	return result, err
}

// wouldRedrive is deadletter.Redrive without its effects.
func wouldRedrive(ctx context.Context, js jetstream.JetStream, sequence uint64) (deadletter.Letter, error) {
	l, err := deadletter.Get(ctx, js, sequence)
	if err != nil {
		return l, err
	}
	return l, l.Redrivable()
}

func (c *lettersRedrive) show(r redriven) error {
	var err error
	switch {
	case c.JSON:
		err = c.PrintJSON(r)
	case r.Problem != "":
		_, err = fmt.Fprintf(c.Stdout, "kept %d: %s\n", r.Sequence, term.Printable(r.Problem))
	case r.Redriven:
		_, err = fmt.Fprintf(c.Stdout, "sent %d again: %s (%s)\n", r.Sequence, term.Printable(r.Subject), term.Printable(r.Reason))
	default:
		_, err = fmt.Fprintf(c.Stdout, "would send %d again: %s (%s)\n", r.Sequence, term.Printable(r.Subject), term.Printable(r.Reason))
	}
	return err
}

// lettersRemove is `tender dlq rm`.
type lettersRemove struct {
	*term.Env
	letters
	all, dryRun, yes bool
}

func newLettersRemove(e *term.Env) *cobra.Command {
	c := &lettersRemove{Env: e}
	cmd := &cobra.Command{
		Use:   "rm {SEQUENCE... | --all}",
		Short: "Discard dead letters for good",
		Long: `Rm discards dead letters. No worker will ever process their commands, and no other copy
of them exists: look with --dry-run first, then give --yes. Rm keeps no record of the
operator and the reason; --json prints each letter whole as it is discarded, for a record
of your own.`,
		Example: `  tender dlq rm 8 --dry-run
  tender dlq rm --all --tenant acme --reason invalid_json --until 24h --yes --json >> gone.jsonl`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.complete(c.Now()); err != nil {
				return err
			}
			sequences, err := c.named(args, c.all)
			if err != nil {
				return err
			}
			if c.dryRun == c.yes {
				return term.UsageError("give --dry-run to see what would be discarded, then --yes to discard it")
			}
			return app.WithBus(c.Env, func(b *app.Bus) error { return c.run(cmd.Context(), b, sequences) })
		},
	}
	c.bind(cmd)
	cmd.Flags().BoolVar(&c.all, "all", false, "every dead letter, narrowed by the other flags")
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "only list them")
	cmd.Flags().BoolVar(&c.yes, "yes", false, "discard them")
	return cmd
}

func (c *lettersRemove) run(ctx context.Context, b *app.Bus, sequences []uint64) error {
	if c.all {
		var err error
		if sequences, err = c.sequencesOf(ctx, b); err != nil {
			return err
		}
	}
	act, done := deadletter.Remove, "discarded"
	if c.dryRun {
		act, done = deadletter.Get, "would discard"
	}
	absent := 0
	for _, sequence := range sequences {
		l, err := act(ctx, b.JS, sequence)
		switch {
		case errors.Is(err, deadletter.ErrNotFound):
			absent++
			c.Remark("%v", err)
			continue
		case err != nil:
			return err
		case c.JSON:
			err = c.PrintJSON(newLetterView(l))
		default:
			_, err = fmt.Fprintf(c.Stdout, "%s %d: %s (%s)\n", done, sequence, term.Printable(l.OriginalSubject), term.Printable(l.Reason))
		}
		if err != nil {
			return err
		}
	}
	if len(sequences) == 0 {
		c.Remark("no dead letters")
	}
	if absent > 0 {
		return term.SayNo()
	}
	return nil
}
