package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// routingSet is `tender routing set`.
type routingSet struct {
	*term.Env
	dryRun   bool
	revision uint64
	// pinned says that --revision was given.
	pinned bool
}

func newRoutingSet(e *term.Env) *cobra.Command {
	c := &routingSet{Env: e}
	cmd := &cobra.Command{
		Use:   "set FILE",
		Short: "Replace the rules, everywhere and at once",
		Long: `Set checks a set of rules (- is standard input) against the configured gateways and
stores it in the bucket tender_routing. Every running process takes it over within
moments. Set refuses the whole set for one mistake in it, and stores nothing if another
command changes the rules at the same time; --revision also refuses changes made since
you looked (tender routing show).

Exit code 0 if the rules are stored, or were already; 1 if they are refused or the
revision is another; 2 if the file cannot be read.`,
		Example: `  tender routing set rules.yaml
  tender routing set rules.yaml --dry-run
  tender routing show --document | sed s/primary/backup/ | tender routing set - --revision 7`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.pinned = cmd.Flags().Changed("revision")
			document, err := readRules(e, args[0])
			if err != nil {
				return err
			}
			return app.WithConfiguredBus(c.Env, func(cfg config.Config, b *app.Bus) error {
				return c.run(cmd.Context(), b, cfg, newRules{place: args[0], document: document})
			})
		},
	}
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "check the rules and store nothing")
	cmd.Flags().Uint64Var(&c.revision, "revision", 0, "only if the bucket is at this `revision`; 0 stands for no rules")
	return cmd
}

// newRules are a document on its way into the bucket.
type newRules struct {
	place    string
	document []byte
}

// stored is the result of routing set and unset.
type stored struct {
	Revision uint64   `json:"revision,omitempty"`
	Previous uint64   `json:"previous_revision,omitempty"`
	Changed  bool     `json:"changed"`
	DryRun   bool     `json:"dry_run,omitempty"`
	Rules    int      `json:"rules,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

func (c *routingSet) run(ctx context.Context, b *app.Bus, cfg config.Config, set newRules) error {
	ctx, cancel := context.WithTimeout(ctx, app.RequestTimeout)
	defer cancel()
	rules, err := routing.Parse(set.document, app.Gateways(cfg))
	if err != nil {
		if c.JSON {
			return printVerdict(c.Env, nil, err)
		}
		return app.RefusedRules(term.ExitNo, set.place, err)
	}
	before, err := routing.Read(ctx, b.JS)
	if err != nil && !errors.Is(err, routing.ErrNotStored) {
		return bucketFailed(cfg, err)
	}
	if c.pinned && c.revision != before.Revision {
		return term.NoSuch("%w: the bucket is at revision %d, not %d", routing.ErrRevision, before.Revision, c.revision)
	}
	done := stored{
		Revision: before.Revision, Previous: before.Revision, DryRun: c.dryRun,
		Changed: !bytes.Equal(before.Document, set.document), Rules: len(rules.All()), Warnings: rules.Warnings(),
	}
	if done.Changed && !done.DryRun {
		if done.Revision, err = routing.Replace(ctx, b.JS, set.document, before.Revision); err != nil {
			return bucketFailed(cfg, err)
		}
	}
	return c.show(done)
}

func (c *routingSet) show(done stored) error {
	if c.JSON {
		return c.PrintJSON(done)
	}
	warnOfRules(c.Env, done.Warnings)
	count := counted(done.Rules, "rule")
	switch {
	case !done.Changed:
		fmt.Fprintf(c.Stdout, "revision %d holds these rules already: %s\n", done.Revision, count)
	case done.DryRun:
		fmt.Fprintf(c.Stdout, "would be set, in place of revision %d: %s\n", done.Previous, count)
	default:
		fmt.Fprintf(c.Stdout, "set as revision %d, in place of revision %d: %s\n", done.Revision, done.Previous, count)
	}
	return nil
}

// routingUnset is `tender routing unset`.
type routingUnset struct{ *term.Env }

func newRoutingUnset(e *term.Env) *cobra.Command {
	c := &routingUnset{Env: e}
	return &cobra.Command{
		Use:   "unset",
		Short: "Remove the rules that were set: every process returns to its configured ones",
		Example: `  tender routing unset
  tender routing show`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.WithConfiguredBus(c.Env, func(cfg config.Config, b *app.Bus) error { return c.run(cmd.Context(), b, cfg) })
		},
	}
}

func (c *routingUnset) run(ctx context.Context, b *app.Bus, cfg config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, app.RequestTimeout)
	defer cancel()
	before, err := routing.Read(ctx, b.JS)
	if errors.Is(err, routing.ErrNotStored) {
		if c.JSON {
			return c.PrintJSON(stored{})
		}
		fmt.Fprintln(c.Stdout, "no rules were set: the configured ones are in force")
		return nil
	}
	if err == nil {
		err = routing.Remove(ctx, b.JS, before.Revision)
	}
	if err != nil {
		return bucketFailed(cfg, err)
	}
	if c.JSON {
		return c.PrintJSON(stored{Previous: before.Revision, Changed: true})
	}
	fmt.Fprintf(c.Stdout, "removed revision %d: the configured rules are in force\n", before.Revision)
	return nil
}

// bucketFailed classifies an error of the bucket.
func bucketFailed(cfg config.Config, err error) error {
	switch {
	case errors.Is(err, routing.ErrNoBucket):
		return term.NotReady(term.ServiceNATS, cfg.NATS.URL, fmt.Errorf("%w: run tender provision", err))
	case errors.Is(err, routing.ErrRevision):
		return term.NoSuch("nothing was changed: %w", err)
	default:
		return err
	}
}

// printVerdict prints for programs whether set would accept the rules.
func printVerdict(e *term.Env, rules *routing.Rules, err error) error {
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
	if err := e.PrintJSON(verdict); err != nil {
		return err
	}
	if refused != nil {
		return term.SayNo()
	}
	return nil
}
