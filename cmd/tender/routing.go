package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

func newRouting(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "routing",
		Short: "Look at, check and replace the rules by which payments get to gateways",
		Long: `Routing rules say which gateway a payment goes to: the first rule whose conditions all hold decides, and among its gateways
their weights do. They come from the configuration (routing.rules_file, or routing.default for one gateway), and over it
from the bucket tender_routing on NATS, which every running process watches: what is set there is in force everywhere
within moments, without a restart.

Rules are taken whole or refused whole. A payment that was sent to a gateway stays there, whatever the rules say later.`,
		Example: `  tender routing show
  tender routing check rules.yaml
  tender routing set rules.yaml
  tender routing explain --amount 1999 --currency EUR --method pm_card_visa --tenant acme`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRoutingShow(c), newRoutingCheck(c), newRoutingSet(c), newRoutingUnset(c), newRoutingExplain(c))
	return cmd
}

// withConfiguredBus connects to NATS for a command that needs its configuration too.
func (c *cli) withConfiguredBus(do func(config.Config, *link) error) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	b, err := openBus(cfg)
	if err != nil {
		return err
	}
	defer b.close()
	return do(cfg, b)
}

func newRoutingShow(c *cli) *cobra.Command {
	var document bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the rules in force",
		Long: `Show prints the rules that the processes go by, and where they come from. Exit code 1 if the bucket holds rules that this
configuration refuses: running processes keep the last good ones, and one that starts takes the configured ones.`,
		Example: `  tender routing show
  tender routing show --document > rules.yaml      # to change and to set again`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := apart(cmd, "document", "json"); err != nil {
				return err
			}
			return c.withConfiguredBus(func(cfg config.Config, b *link) error {
				shown, err := rulesInForce(cmd.Context(), b.js, cfg)
				if err != nil {
					return err
				}
				if document {
					return c.printRulesDocument(cfg, shown)
				}
				return c.showRules(shown)
			})
		},
	}
	cmd.Flags().BoolVar(&document, "document", false, "print the rules as they were written")
	return cmd
}

func (c *cli) showRules(shown rulesShown) error {
	if c.json {
		if err := c.printJSON(shown); err != nil {
			return err
		}
		if shown.refused != nil {
			return sayNo()
		}
		return nil
	}
	f := newFacts(c.stdout)
	f.add("rules from", shown.place())
	f.add("set at", moment(shown.StoredAt))
	if err := f.flush(); err != nil {
		return err
	}
	if shown.refused != nil {
		return shown.refused
	}
	fmt.Fprintln(c.stdout)
	t := newTable(c.stdout, "RULE", "MATCHES", "TO", "FAILOVER")
	for _, r := range shown.Rules {
		t.row(r.Name, matchText(r.Match), targetsText(r.To), failoverText(r))
	}
	if err := t.flush(); err != nil {
		return err
	}
	c.warnOfRules(shown.Warnings)
	if shown.bucketMissing {
		c.remark("the bucket %s is missing: run tender provision to be able to set rules", routing.Bucket)
	}
	return nil
}

func (c *cli) warnOfRules(warnings []string) {
	for _, warning := range warnings {
		c.remark("warning: %s", warning)
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

// printRulesDocument prints what can be set again.
func (c *cli) printRulesDocument(cfg config.Config, shown rulesShown) error {
	document := shown.document
	switch {
	case document != nil:
	case cfg.Routing.RulesFile != "":
		var err error
		if document, err = os.ReadFile(cfg.Routing.RulesFile); err != nil {
			return usageError("routing.rules_file: %w", err)
		}
	default:
		document = fmt.Appendf(nil, "version: %d\nrules:\n  - name: %s\n    to:\n      - gateway: %s\n",
			routing.FormatVersion, routing.RuleDefault, cfg.Routing.Default)
	}
	if _, err := c.stdout.Write(document); err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	return nil
}

func newRoutingCheck(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Say every mistake in a set of rules, with its line",
		Long: `Check reads a set of rules (- is standard input) as set would, and says everything that is wrong with it. The gateways it may
name are those of the configuration; neither NATS nor PostgreSQL is needed.

Exit code 0 if the rules would be taken, 1 if not, 2 if the file cannot be read.`,
		Example: "  tender routing check rules.yaml --config tender.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			document, err := c.readRules(args[0])
			if err != nil {
				return err
			}
			return c.checkRules(args[0], document, cfg)
		},
	}
}

func (c *cli) checkRules(place string, document []byte, cfg config.Config) error {
	rules, err := routing.Parse(document, gatewayNames(cfg))
	if c.json {
		return c.printVerdict(rules, err)
	}
	if err != nil {
		return refusedRules(exitNo, place, err)
	}
	c.warnOfRules(rules.Warnings())
	fmt.Fprintf(c.stdout, "the rules are fine: %s\n", counted(len(rules.All()), "rule"))
	return nil
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
