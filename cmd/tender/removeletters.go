package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

// removeFlags say which dead letters to discard.
type removeFlags struct {
	letterFlags
	all, dryRun, yes bool
}

func newLettersRemove(c *cli) *cobra.Command {
	var f removeFlags
	cmd := &cobra.Command{
		Use:   "rm {SEQUENCE... | --all}",
		Short: "Discard dead letters for good",
		Long: `Rm discards dead letters that are rubbish. The commands in them will never be handled, and nothing else holds them: look with
--dry-run first, then give --yes. It keeps no record of who did it and why; --json prints each letter whole as it goes, to be
kept.`,
		Example: `  tender dlq rm 8 --dry-run
  tender dlq rm --all --tenant acme --reason invalid_json --until 24h --yes --json >> discarded.jsonl`,
		RunE: func(cmd *cobra.Command, args []string) error {
			sequences, err := lettersNamed(args, f.all)
			if err != nil {
				return err
			}
			if f.dryRun == f.yes {
				return usageError("give --dry-run to see what would be discarded, then --yes to discard it")
			}
			return c.withBus(func(b *link) error { return c.removeLetters(cmd.Context(), b, f, sequences) })
		},
	}
	f.bind(c, cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "every dead letter that "+letterFilters+" let through")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only say which")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "discard them")
	return cmd
}

func (c *cli) removeLetters(ctx context.Context, b *link, f removeFlags, sequences []uint64) error {
	if f.all {
		err := f.each(ctx, b, func(l deadletter.Letter) error {
			sequences = append(sequences, l.Sequence)
			return nil
		})
		if err != nil {
			return err
		}
	}
	act, done := deadletter.Remove, "discarded"
	if f.dryRun {
		act, done = deadletter.Get, "would discard"
	}
	absent := 0
	for _, sequence := range sequences {
		l, err := act(ctx, b.js, sequence)
		switch {
		case errors.Is(err, deadletter.ErrNotFound):
			absent++
			c.remark("%v", err)
			continue
		case err != nil:
			return err
		case c.json:
			err = c.printJSON(newLetterView(l))
		default:
			_, err = fmt.Fprintf(c.stdout, "%s %d: %s (%s)\n", done, sequence, printable(l.OriginalSubject), printable(l.Reason))
		}
		if err != nil {
			return err
		}
	}
	if len(sequences) == 0 {
		c.remark("no dead letters")
	}
	if absent > 0 {
		return sayNo()
	}
	return nil
}
