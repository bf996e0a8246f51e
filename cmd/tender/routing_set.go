package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// setFlags are those of routing set.
type setFlags struct {
	dryRun   bool
	revision uint64
	// pinned says that revision was given.
	pinned bool
}

func newRoutingSet(c *cli) *cobra.Command {
	var f setFlags
	cmd := &cobra.Command{
		Use:   "set FILE",
		Short: "Replace the rules, everywhere and at once",
		Long: `Set checks a set of rules (- is standard input) against the configured gateways and stores it in the bucket tender_routing, from
where every running process takes it over within moments. It refuses the set whole if anything is wrong with it, and stores
nothing if somebody else has stored other rules meanwhile; --revision demands that nobody has since you looked (tender
routing show).

Exit code 0 if the rules are stored, or were already; 1 if they are refused or the revision is another; 2 if the file cannot
be read.`,
		Example: `  tender routing set rules.yaml
  tender routing set rules.yaml --dry-run
  tender routing show --document | sed s/primary/backup/ | tender routing set - --revision 7`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.pinned = cmd.Flags().Changed("revision")
			document, err := c.readRules(args[0])
			if err != nil {
				return err
			}
			return c.withConfiguredBus(func(cfg config.Config, b *link) error {
				return c.setRules(cmd.Context(), b, cfg, newRules{place: args[0], document: document, flags: f})
			})
		},
	}
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "check the rules and store nothing")
	cmd.Flags().Uint64Var(&f.revision, "revision", 0, "only if the bucket is at this `revision`; 0 is no rules")
	return cmd
}

// newRules are a document on its way into the bucket.
type newRules struct {
	place    string
	document []byte
	flags    setFlags
}

// stored is what routing set and unset tell.
type stored struct {
	Revision uint64   `json:"revision,omitempty"`
	Previous uint64   `json:"previous_revision,omitempty"`
	Changed  bool     `json:"changed"`
	DryRun   bool     `json:"dry_run,omitempty"`
	Rules    int      `json:"rules,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

func (c *cli) setRules(ctx context.Context, b *link, cfg config.Config, set newRules) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	rules, err := routing.Parse(set.document, gatewayNames(cfg))
	if err != nil {
		if c.json {
			return c.printVerdict(nil, err)
		}
		return refusedRules(exitNo, set.place, err)
	}
	before, err := routing.Read(ctx, b.js)
	if err != nil && !errors.Is(err, routing.ErrNotStored) {
		return bucketFailed(cfg, err)
	}
	if set.flags.pinned && set.flags.revision != before.Revision {
		return noSuch("%w: the bucket is at revision %d, not %d", routing.ErrRevision, before.Revision, set.flags.revision)
	}
	done := stored{
		Revision: before.Revision, Previous: before.Revision, DryRun: set.flags.dryRun,
		Changed: !bytes.Equal(before.Document, set.document), Rules: len(rules.All()), Warnings: rules.Warnings(),
	}
	if done.Changed && !done.DryRun {
		if done.Revision, err = routing.Replace(ctx, b.js, set.document, before.Revision); err != nil {
			return bucketFailed(cfg, err)
		}
	}
	return c.showStored(done)
}

func (c *cli) showStored(done stored) error {
	if c.json {
		return c.printJSON(done)
	}
	c.warnOfRules(done.Warnings)
	what := counted(done.Rules, "rule")
	switch {
	case !done.Changed:
		fmt.Fprintf(c.stdout, "revision %d holds these rules already: %s\n", done.Revision, what)
	case done.DryRun:
		fmt.Fprintf(c.stdout, "would be set, in place of revision %d: %s\n", done.Previous, what)
	default:
		fmt.Fprintf(c.stdout, "set as revision %d, in place of revision %d: %s\n", done.Revision, done.Previous, what)
	}
	return nil
}

func newRoutingUnset(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "unset",
		Short: "Remove the rules that were set: every process returns to its configured ones",
		Example: `  tender routing unset
  tender routing show`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withConfiguredBus(func(cfg config.Config, b *link) error { return c.unsetRules(cmd.Context(), b, cfg) })
		},
	}
}

func (c *cli) unsetRules(ctx context.Context, b *link, cfg config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	before, err := routing.Read(ctx, b.js)
	if errors.Is(err, routing.ErrNotStored) {
		if c.json {
			return c.printJSON(stored{})
		}
		fmt.Fprintln(c.stdout, "no rules were set: the configured ones are in force")
		return nil
	}
	if err == nil {
		err = routing.Remove(ctx, b.js, before.Revision)
	}
	if err != nil {
		return bucketFailed(cfg, err)
	}
	if c.json {
		return c.printJSON(stored{Previous: before.Revision, Changed: true})
	}
	fmt.Fprintf(c.stdout, "removed revision %d: the configured rules are in force\n", before.Revision)
	return nil
}

// bucketFailed classifies why the bucket could not be read or changed.
func bucketFailed(cfg config.Config, err error) error {
	switch {
	case errors.Is(err, routing.ErrNoBucket):
		return notReady(serviceNATS, cfg.NATS.URL, fmt.Errorf("%w: run tender provision", err))
	case errors.Is(err, routing.ErrRevision):
		return noSuch("nothing was changed: %w", err)
	default:
		return err
	}
}

// printVerdict prints for programs whether rules would be taken.
func (c *cli) printVerdict(rules *routing.Rules, err error) error {
	var refused *routing.RefusedError
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	verdict := struct {
		OK       bool              `json:"ok"`
		Rules    int               `json:"rules"`
		Mistakes []routing.Mistake `json:"mistakes"`
		Warnings []string          `json:"warnings"`
	}{OK: err == nil, Rules: len(rules.All()), Mistakes: []routing.Mistake{}, Warnings: []string{}}
	if refused != nil {
		verdict.Mistakes = refused.Mistakes
	}
	verdict.Warnings = append(verdict.Warnings, rules.Warnings()...)
	if err := c.printJSON(verdict); err != nil {
		return err
	}
	if refused != nil {
		return sayNo()
	}
	return nil
}
