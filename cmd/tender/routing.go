package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

func newRouting(e *term.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "routing",
		Short: "Show, check and replace the rules that route payments to gateways",
		Long: `Routing rules choose the gateway of a payment: the first rule whose conditions all hold
decides, and the weights choose among its gateways. The rules come from the configuration
(routing.rules_file, or routing.default for one gateway). Rules in the bucket
tender_routing on NATS replace them: every running process watches the bucket and takes
over new rules within moments, without a restart.

A set of rules is accepted or refused as a whole. A payment that was sent to a gateway
stays there, also when the rules change.`,
		Example: `  tender routing show
  tender routing check rules.yaml
  tender routing set rules.yaml
  tender routing explain --amount 1999 --currency EUR --method pm_card_visa --tenant acme`,
		Args: cobra.NoArgs,
		RunE: term.Help,
	}
	cmd.AddCommand(newRoutingShow(e), newRoutingCheck(e), newRoutingSet(e), newRoutingUnset(e), newRoutingExplain(e))
	return cmd
}

// routingShow is `tender routing show`.
type routingShow struct {
	*term.Env
	document bool
}

func newRoutingShow(e *term.Env) *cobra.Command {
	c := &routingShow{Env: e}
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the rules in force",
		Long: `Show prints the rules in force and where they come from. Exit code 1 if the bucket holds
rules that this configuration refuses: running processes keep the last good ones, and a
process that starts takes the configured ones.`,
		Example: `  tender routing show
  tender routing show --document > rules.yaml      # to edit and set again`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := term.Apart(cmd, "document", "json"); err != nil {
				return err
			}
			return app.WithConfiguredBus(c.Env, func(cfg config.Config, b *app.Bus) error {
				shown, err := rulesInForce(cmd.Context(), b.JS, cfg)
				if err != nil {
					return err
				}
				if c.document {
					return c.printDocument(cfg, shown)
				}
				return c.show(shown)
			})
		},
	}
	cmd.Flags().BoolVar(&c.document, "document", false, "print the rules as they were written")
	return cmd
}

func (c *routingShow) show(shown rulesShown) error {
	if c.JSON {
		if err := c.PrintJSON(shown); err != nil {
			return err
		}
		if shown.refused != nil {
			return term.SayNo()
		}
		return nil
	}
	f := term.NewFacts(c.Stdout)
	f.Add("rules from", shown.place())
	f.Add("set at", term.Moment(shown.StoredAt))
	if err := f.Flush(); err != nil {
		return err
	}
	if shown.refused != nil {
		return shown.refused
	}
	fmt.Fprintln(c.Stdout)
	t := term.NewTable(c.Stdout, "RULE", "MATCHES", "TO", "FAILOVER")
	for _, r := range shown.Rules {
		t.Row(r.Name, matchText(r.Match), targetsText(r.To), failoverText(r))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	warnOfRules(c.Env, shown.Warnings)
	if shown.bucketMissing {
		c.Remark("the bucket %s is missing: run tender provision to be able to set rules", routing.Bucket)
	}
	return nil
}

func warnOfRules(e *term.Env, warnings []string) {
	for _, warning := range warnings {
		e.Remark("warning: %s", warning)
	}
}

func matchText(m routing.Match) string {
	if all := m.Conditions(); len(all) > 0 {
		return strings.Join(all, ", ")
	}
	return "every payment"
}

func targetsText(targets []routing.Target) string {
	all := make([]string, 0, len(targets))
	for _, t := range targets {
		switch {
		case t.Weight == 0:
			all = append(all, t.Gateway+" drained")
		case len(targets) == 1:
			all = append(all, t.Gateway)
		default:
			all = append(all, fmt.Sprintf("%s %d", t.Gateway, t.Weight))
		}
	}
	return strings.Join(all, ", ")
}

func failoverText(r routing.Rule) string {
	taking := slices.DeleteFunc(slices.Clone(r.To), func(t routing.Target) bool { return t.Weight == 0 })
	text := strings.Join(r.Failover.To, ", ")
	switch {
	case r.Failover.To == nil && len(taking) > 1:
		text = "the others"
	case text == "":
		return "none"
	}
	if r.Failover.OnDecline {
		text += "; after a soft decline too"
	}
	return text
}

// printDocument prints a document that can be set again.
func (c *routingShow) printDocument(cfg config.Config, shown rulesShown) error {
	document := shown.document
	switch {
	case document != nil:
	case cfg.Routing.RulesFile != "":
		var err error
		if document, err = os.ReadFile(cfg.Routing.RulesFile); err != nil {
			return term.UsageError("routing.rules_file: %w", err)
		}
	default:
		document = fmt.Appendf(nil, "version: %d\nrules:\n  - name: %s\n    to:\n      - gateway: %s\n",
			routing.FormatVersion, routing.RuleDefault, cfg.Routing.Default)
	}
	if _, err := c.Stdout.Write(document); err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	return nil
}

// routingCheck is `tender routing check`.
type routingCheck struct{ *term.Env }

func newRoutingCheck(e *term.Env) *cobra.Command {
	c := &routingCheck{Env: e}
	return &cobra.Command{
		Use:   "check FILE",
		Short: "List every mistake in a set of rules, with its line",
		Long: `Check reads a set of rules (- is standard input) as set would, and lists every mistake in
it. The rules may name the gateways of the configuration. Neither NATS nor PostgreSQL is
needed.

Exit code 0 if set would accept the rules, 1 if not, 2 if the file cannot be read.`,
		Example: "  tender routing check rules.yaml --config tender.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := c.Load()
			if err != nil {
				return err
			}
			document, err := readRules(e, args[0])
			if err != nil {
				return err
			}
			return c.run(args[0], document, cfg)
		},
	}
}

func (c *routingCheck) run(place string, document []byte, cfg config.Config) error {
	rules, err := routing.Parse(document, app.Gateways(cfg))
	if c.JSON {
		return printVerdict(c.Env, rules, err)
	}
	if err != nil {
		return app.RefusedRules(term.ExitNo, place, err)
	}
	warnOfRules(c.Env, rules.Warnings())
	fmt.Fprintf(c.Stdout, "the rules are fine: %s\n", counted(len(rules.All()), "rule"))
	return nil
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// configuredFrom names the source of the configured rules.
func configuredFrom(cfg config.Config) string {
	if cfg.Routing.RulesFile == "" {
		return "routing.default"
	}
	return cfg.Routing.RulesFile
}

// readRules reads a document from a file, or from standard input for "-", without parsing it.
func readRules(e *term.Env, file string) ([]byte, error) {
	var document []byte
	var err error
	if file == "-" {
		// One byte over the maximum is enough for the parser to refuse it.
		document, err = io.ReadAll(io.LimitReader(e.Stdin, routing.SizeMax+1))
	} else {
		document, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, term.UsageError("read routing rules: %w", err)
	}
	return document, nil
}

// rulesShown are the rules in force, as the commands show them.
type rulesShown struct {
	Source   routing.Source `json:"source"`
	Revision uint64         `json:"revision,omitempty"`
	StoredAt time.Time      `json:"stored_at,omitzero"`
	// From is the source of configured rules: a file, or routing.default.
	From     string            `json:"from,omitempty"`
	Rules    []routing.Rule    `json:"rules"`
	Warnings []string          `json:"warnings,omitempty"`
	Mistakes []routing.Mistake `json:"mistakes,omitempty"`

	rules    *routing.Rules
	document []byte
	// bucketMissing says that the bucket does not exist; refused is the refusal of its rules, nil
	// if there is none.
	bucketMissing bool
	refused       error
}

// rulesInForce reads the rules of a process with this configuration. If such a process refuses the
// rules in the bucket, there are none to show: running processes keep their last good ones, and a
// process that starts takes the configured ones.
func rulesInForce(ctx context.Context, kv jetstream.KeyValueManager, cfg config.Config) (rulesShown, error) {
	stored, err := routing.Read(ctx, kv)
	switch {
	case errors.Is(err, routing.ErrNoBucket), errors.Is(err, routing.ErrNotStored):
		rules, configuredErr := app.ConfiguredRules(cfg)
		if configuredErr != nil {
			return rulesShown{}, configuredErr
		}
		shown := rulesShown{
			Source: routing.SourceConfiguration, From: configuredFrom(cfg), bucketMissing: errors.Is(err, routing.ErrNoBucket),
		}
		return shown.with(rules), nil
	case err != nil:
		return rulesShown{}, err
	}
	shown := rulesShown{Source: routing.SourceBucket, Revision: stored.Revision, StoredAt: stored.StoredAt, document: stored.Document}
	rules, err := routing.Parse(stored.Document, app.Gateways(cfg))
	var refused *routing.RefusedError
	if errors.As(err, &refused) {
		shown.refused = app.RefusedRules(term.ExitNo, shown.place(), err)
		shown.Rules, shown.Mistakes = []routing.Rule{}, refused.Mistakes
		return shown, nil
	}
	return shown.with(rules), err
}

func (s rulesShown) with(rules *routing.Rules) rulesShown {
	s.rules, s.Rules, s.Warnings = rules, rules.All(), rules.Warnings()
	return s
}

// place names the source of the rules.
func (s rulesShown) place() string {
	if s.Source == routing.SourceConfiguration {
		return "configuration (" + s.From + ")"
	}
	return fmt.Sprintf("bucket %s, revision %d", routing.Bucket, s.Revision)
}
