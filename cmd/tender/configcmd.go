package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/config"
)

func newConfig(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and print the configuration",
		Long: `The configuration has three layers: defaults, a YAML file (--config or $TENDER_CONFIG) and environment variables. The variable of a
key is TENDER_ and its path in capitals: TENDER_WORKER_SLOTS_MAX for worker.slots_max. --nats and --postgres stand above all.`,
		Example: "  tender config check --config tender.yaml\n  tender config print --origins",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheck(c), newConfigPrint(c))
	return cmd
}

func newConfigCheck(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "check",
		Short:   "Say every mistake in the configuration at once; exit code 2 if there is one",
		Example: "  tender config check --config tender.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := c.load()
			if err == nil {
				_, err = configuredRules(cfg)
			}
			if c.json {
				return c.checkJSON(err)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.stdout, "the configuration is fine")
			return err
		},
	}
}

// mistakeView shows a mistake to programs.
type mistakeView struct {
	Key     string        `json:"key"`
	Problem string        `json:"problem"`
	Origin  config.Origin `json:"origin"`
}

// checkJSON prints the mistakes as a document. An error that is about no key is left to be reported.
func (c *cli) checkJSON(err error) error {
	mistakes := config.KeyErrors(err)
	if err != nil && len(mistakes) == 0 {
		return err
	}
	views := make([]mistakeView, 0, len(mistakes))
	for _, m := range mistakes {
		views = append(views, mistakeView{m.Key, m.Problem, m.Origin})
	}
	if err := c.printJSON(map[string]any{"ok": len(views) == 0, "mistakes": views}); err != nil {
		return err
	}
	if len(views) > 0 {
		return &exitError{code: exitUsage}
	}
	return nil
}

func newConfigPrint(c *cli) *cobra.Command {
	var reference, origins, docs bool
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration in force, without its secrets",
		Example: `  tender config print
  tender config print --origins             # where each value came from
  tender config print --reference           # every key with its default, as an annotated file to start from
  tender config print --reference --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := apart(cmd, "reference", "origins", "docs"); err != nil {
				return err
			}
			if reference {
				return c.printReference()
			}
			cfg, err := c.load()
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(cfg.Effective())
			}
			return config.Print(c.stdout, cfg, config.PrintOptions{Docs: docs, Origins: origins})
		},
	}
	cmd.Flags().BoolVar(&reference, "reference", false, "print every key there is, with its default and what it means")
	cmd.Flags().BoolVar(&origins, "origins", false, "say behind each value where it came from")
	cmd.Flags().BoolVar(&docs, "docs", false, "say above each key what it means")
	return cmd
}

func (c *cli) printReference() error {
	if c.json {
		return c.printJSON(config.Reference())
	}
	_, err := fmt.Fprint(c.stdout, config.Example())
	return err
}
