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

	"github.com/seed-384b1f8a/tender/config"
)

// devFile is the configuration that a running `tender dev` leaves in its folder, so that other commands find it.
const devFile = ".tender/dev.yaml"

// cli is one invocation of the program: the world around it, and what the global flags say.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	now            func() time.Time

	configFile, natsURL, postgresURL string
	json, quiet                      bool
	// began says that the command line was understood and a command was begun.
	began bool
}

func (c *cli) bindGlobal(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&c.configFile, "config", "", "configuration `file` (default $"+config.FileEnv+")")
	flags.StringVar(&c.natsURL, "nats", "", "`URL` of NATS, over configuration and environment")
	flags.StringVar(&c.postgresURL, "postgres", "", "`URL` of PostgreSQL, over configuration and environment")
	flags.BoolVar(&c.json, "json", false, "print JSON for programs: one document, or one line for each item of a list")
	flags.BoolVarP(&c.quiet, "quiet", "q", false, "print no progress and no remarks")
	root.PersistentPreRun = func(*cobra.Command, []string) { c.began = true }
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
}

// main runs one command line and returns the exit code.
func (c *cli) main(ctx context.Context, args []string) int {
	ctx, signals := catchSignals(ctx)
	defer signals.stop()
	root := newRoot(c) //nolint:contextcheck // commands get their context when they are executed
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return int(exitOK)
	}
	if signal := signals.caught(); signal != 0 && errors.Is(err, context.Canceled) {
		return signal
	}
	if !c.began {
		report(c.stderr, err, "Run '"+cmd.CommandPath()+" --help' for usage.")
		return int(exitUsage)
	}
	report(c.stderr, err, "")
	return int(codeOf(err))
}

// load reads the configuration that the flags and the environment point to.
func (c *cli) load() (config.Config, error) {
	environ := c.environ
	file := c.configFile
	if file == "" {
		file = lookup(environ, config.FileEnv)
	}
	if file == "" && !c.saysWhere() {
		if _, err := os.Stat(devFile); err == nil {
			c.remark("using the running tender dev (%s)", devFile)
			file = devFile
		}
	}
	environ = override(environ, config.EnvName("nats.url"), c.natsURL)
	environ = override(environ, config.EnvName("postgres.url"), c.postgresURL)
	cfg, err := config.Load(file, environ)
	if err != nil && len(config.KeyErrors(err)) == 0 {
		return config.Config{}, &exitError{code: exitUsage, err: err}
	}
	c.blameFlags(err)
	return cfg, err
}

// saysWhere reports whether flags or the environment name a server.
func (c *cli) saysWhere() bool {
	return c.natsURL != "" || c.postgresURL != "" ||
		lookup(c.environ, config.EnvName("nats.url")) != "" || lookup(c.environ, config.EnvName("postgres.url")) != ""
}

// blameFlags corrects where a mistake came from: the flags are laid over the environment, but nobody set a variable.
func (c *cli) blameFlags(err error) {
	for _, mistake := range config.KeyErrors(err) {
		switch {
		case mistake.Key == "nats.url" && c.natsURL != "":
			mistake.Origin = config.Origin{Layer: "flag", Place: "--nats"}
		case mistake.Key == "postgres.url" && c.postgresURL != "":
			mistake.Origin = config.Origin{Layer: "flag", Place: "--postgres"}
		}
	}
}

// remark says something in passing.
func (c *cli) remark(format string, args ...any) {
	if !c.quiet {
		fmt.Fprintf(c.stderr, format+"\n", args...)
	}
}

// lookup returns the value of a variable; the last one counts, as for the operating system.
func lookup(environ []string, name string) string {
	for _, entry := range slices.Backward(environ) {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}

// override sets a variable unless the value is empty.
func override(environ []string, name, value string) []string {
	if value == "" {
		return environ
	}
	kept := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
	return append(kept, name+"="+value)
}

// apart refuses flags that contradict each other.
func apart(cmd *cobra.Command, flag string, others ...string) error {
	for _, other := range others {
		if cmd.Flags().Changed(flag) && cmd.Flags().Changed(other) {
			return usageError("--%s and --%s cannot be given together", flag, other)
		}
	}
	return nil
}
