package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// gcPercent is the GOGC of Tender's processes and NATS server. Both contenders and their servers
// have the same value.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := perform(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// perform runs a subcommand, with its output to out.
func perform(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("say what to do: run, compare or tune")
	}
	switch args[0] {
	case "run":
		return runCommand(ctx, args[1:], out)
	case "compare":
		return compareCommand(ctx, args[1:], out)
	case "tune":
		return tuneCommand(ctx, args[1:], out)
	default:
		return fmt.Errorf("unknown subcommand %q: run, compare or tune", args[0])
	}
}
