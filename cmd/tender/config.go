package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
)

func newConfig(e *term.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and print the configuration",
		Long: `The configuration has three layers: defaults, a YAML file (--config or $TENDER_CONFIG)
and environment variables. The variable of a key is TENDER_ and its path in capitals:
TENDER_WORKER_SLOTS_MAX for worker.slots_max. --nats and --postgres win over all of them.`,
		Example: "  tender config check --config tender.yaml\n  tender config print --origins",
		Args:    cobra.NoArgs,
		RunE:    term.Help,
	}
	cmd.AddCommand(newConfigCheck(e), newConfigPrint(e))
	return cmd
}

// configCheck is `tender config check`.
type configCheck struct{ *term.Env }

func newConfigCheck(e *term.Env) *cobra.Command {
	c := &configCheck{Env: e}
	return &cobra.Command{
		Use:     "check",
		Short:   "List every mistake in the configuration; exit code 2 if there is one",
		Example: "  tender config check --config tender.yaml",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return c.run() },
	}
}

func (c *configCheck) run() error {
	cfg, err := c.Load()
	if err == nil {
		_, err = app.ConfiguredRules(cfg)
	}
	if c.JSON {
		return c.printMistakes(err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.Stdout, "the configuration is fine")
	return err
}

// mistakeView shows a mistake to programs.
type mistakeView struct {
	Key     string        `json:"key"`
	Problem string        `json:"problem"`
	Origin  config.Origin `json:"origin"`
}

// printMistakes prints the mistakes as a document. It returns an error that is about no key.
func (c *configCheck) printMistakes(err error) error {
	mistakes := config.KeyErrors(err)
	if err != nil && len(mistakes) == 0 {
		return err
	}
	views := make([]mistakeView, 0, len(mistakes))
	for _, m := range mistakes {
		views = append(views, mistakeView{m.Key, m.Problem, m.Origin})
	}
	if err := c.PrintJSON(map[string]any{"ok": len(views) == 0, "mistakes": views}); err != nil {
		return err
	}
	if len(views) > 0 {
		return &term.ExitError{Code: term.ExitUsage}
	}
	return nil
}

// configPrint is `tender config print`.
type configPrint struct {
	*term.Env
	reference, origins, docs bool
}

func newConfigPrint(e *term.Env) *cobra.Command {
	c := &configPrint{Env: e}
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration in force, without its secrets",
		Example: `  tender config print
  tender config print --origins             # where each value came from
  tender config print --reference           # every key with its default, as an annotated file
  tender config print --reference --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := term.Apart(cmd, "reference", "origins", "docs"); err != nil {
				return err
			}
			if c.reference {
				return c.printReference()
			}
			return c.run()
		},
	}
	cmd.Flags().BoolVar(&c.reference, "reference", false, "print every key with its default and its meaning")
	cmd.Flags().BoolVar(&c.origins, "origins", false, "print behind each value where it came from")
	cmd.Flags().BoolVar(&c.docs, "docs", false, "print above each key its meaning")
	return cmd
}

func (c *configPrint) run() error {
	cfg, err := c.Load()
	if err != nil {
		return err
	}
	if c.JSON {
		return c.PrintJSON(cfg.Effective())
	}
	return config.Print(c.Stdout, cfg, config.PrintOptions{Docs: c.docs, Origins: c.origins})
}

func (c *configPrint) printReference() error {
	if c.JSON {
		return c.PrintJSON(config.Reference())
	}
	_, err := fmt.Fprint(c.Stdout, config.Example())
	return err
}
