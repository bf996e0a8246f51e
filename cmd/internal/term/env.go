package term

import (
	"context"
	"encoding/json"
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

// DevFile is the configuration that a running `tenderlab dev` leaves in its folder. Other commands
// find its servers by it.
const DevFile = ".tender/dev.yaml"

// Env is one invocation of a program: the world around it, and the values of the global flags.
// Every command embeds it.
type Env struct {
	// Program is the name that errors begin with.
	Program        string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Environ holds variables as NAME=value; the last entry of a name counts.
	Environ []string
	Now     func() time.Time

	// ConfigFile, NATSURL and PostgresURL are the global flags; "" where they were not given.
	ConfigFile, NATSURL, PostgresURL string
	// JSON asks for output for programs, Quiet for no progress and no remarks.
	JSON, Quiet bool

	// began says that cobra understood the command line and began a command.
	began bool
}

// OfProcess returns the invocation of this process.
func OfProcess(program string) *Env {
	return &Env{
		Program: program, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(), Now: time.Now,
	}
}

// Main runs one command line with the commands that newRoot lists, and returns the exit code.
func (e *Env) Main(ctx context.Context, args []string, newRoot func(*Env) *cobra.Command) int {
	ctx, signals := catchSignals(ctx)
	defer signals.stop()
	root := newRoot(e)
	e.bind(root)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return int(ExitOK)
	}
	if signal := signals.caught(); signal != 0 && errors.Is(err, context.Canceled) {
		return signal
	}
	if !e.began {
		e.report(err)
		fmt.Fprintln(e.Stderr, "Run '"+cmd.CommandPath()+" --help' for usage.")
		return int(ExitUsage)
	}
	e.report(err)
	return int(CodeOf(err))
}

// bind adds what every program has: the global flags, and errors that are reported in one place.
func (e *Env) bind(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&e.ConfigFile, "config", "", "configuration `file` (default $"+config.FileEnv+")")
	flags.StringVar(&e.NATSURL, "nats", "", "`URL` of NATS, over configuration and environment")
	flags.StringVar(&e.PostgresURL, "postgres", "", "`URL` of PostgreSQL, over configuration and environment")
	flags.BoolVar(&e.JSON, "json", false, "print JSON: one document, or one line for each item")
	flags.BoolVarP(&e.Quiet, "quiet", "q", false, "print no progress and no remarks")
	root.PersistentPreRun = func(*cobra.Command, []string) { e.began = true }
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(e.Stdin)
	root.SetOut(e.Stdout)
	root.SetErr(e.Stderr)
}

// Load reads the configuration that the flags and the environment lead to. Without either it takes
// that of a running `tenderlab dev`. An unreadable file is an [ExitUsage] error; mistakes in keys
// are [config.KeyError]s.
func (e *Env) Load() (config.Config, error) {
	file := e.ConfigFile
	if file == "" {
		file = Lookup(e.Environ, config.FileEnv)
	}
	if file == "" && !e.namesServer() {
		if _, err := os.Stat(DevFile); err == nil {
			e.Remark("using the running tenderlab dev (%s)", DevFile)
			file = DevFile
		}
	}
	environ := Override(e.Environ, config.EnvName("nats.url"), e.NATSURL)
	environ = Override(environ, config.EnvName("postgres.url"), e.PostgresURL)
	cfg, err := config.Load(file, environ)
	if err != nil && len(config.KeyErrors(err)) == 0 {
		return config.Config{}, &ExitError{Code: ExitUsage, Err: err}
	}
	e.blameFlags(err)
	return cfg, err
}

// namesServer reports whether a flag or a variable names a server.
func (e *Env) namesServer() bool {
	return e.NATSURL != "" || e.PostgresURL != "" ||
		Lookup(e.Environ, config.EnvName("nats.url")) != "" || Lookup(e.Environ, config.EnvName("postgres.url")) != ""
}

// blameFlags corrects the origin of mistakes. Load lays the flags over the environment, so a
// mistake in a flag looks like one in a variable that the user has not set.
func (e *Env) blameFlags(err error) {
	for _, mistake := range config.KeyErrors(err) {
		switch {
		case mistake.Key == "nats.url" && e.NATSURL != "":
			mistake.Origin = config.Origin{Layer: "flag", Place: "--nats"}
		case mistake.Key == "postgres.url" && e.PostgresURL != "":
			mistake.Origin = config.Origin{Layer: "flag", Place: "--postgres"}
		}
	}
}

// Remark writes a line to standard error, unless --quiet was given.
func (e *Env) Remark(format string, args ...any) {
	if !e.Quiet {
		fmt.Fprintf(e.Stderr, format+"\n", args...)
	}
}

// PrintJSON writes one value to standard output, as one line.
func (e *Env) PrintJSON(v any) error {
	encoder := json.NewEncoder(e.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// Lookup returns the value of a variable, "" if it is not set. The last entry of a name counts, as
// it does for the operating system.
func Lookup(environ []string, name string) string {
	for _, entry := range slices.Backward(environ) {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}

// Override returns the variables with one of them set, or unchanged if the value is empty.
func Override(environ []string, name, value string) []string {
	if value == "" {
		return environ
	}
	kept := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
	return append(kept, name+"="+value)
}

// Apart refuses a flag that was given together with one of the others.
func Apart(cmd *cobra.Command, flag string, others ...string) error {
	for _, other := range others {
		if cmd.Flags().Changed(flag) && cmd.Flags().Changed(other) {
			return UsageError("--%s and --%s cannot be given together", flag, other)
		}
	}
	return nil
}

// Group adds commands to the root under a heading of its help.
func Group(root *cobra.Command, heading string, commands ...*cobra.Command) {
	id := strings.ToLower(heading)
	root.AddGroup(&cobra.Group{ID: id, Title: heading + ":"})
	for _, cmd := range commands {
		cmd.GroupID = id
		root.AddCommand(cmd)
	}
}

// Help shows the help of a command that only holds others. It is their RunE.
func Help(cmd *cobra.Command, _ []string) error { return cmd.Help() }
