package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/client"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// exitCode is what the process tells its caller. The codes are part of the contract: scripts branch on them.
type exitCode int

// The exit codes. A process that is ended by a signal uses 128 and the signal's number besides.
const (
	exitOK          exitCode = 0
	exitNo          exitCode = 1
	exitUsage       exitCode = 2
	exitUnavailable exitCode = 3
	exitTimeout     exitCode = 4
	exitFailed      exitCode = 5
)

func newExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Exit codes of every tender command:

  0    done, or yes
  1    the answer is no: a payment declined, refused or failed (with --wait), no such payment or dead letter, verify
       found something, rebuild or provision --check found a difference
  2    the command line or the configuration is wrong; nothing was done
  3    NATS or PostgreSQL is not reachable or not prepared (tender migrate, tender provision); the message says which
  4    timed out waiting; what was published stays published
  5    anything else; the message says what
  130  ended by SIGINT (Ctrl-C), 143 by SIGTERM. tender serve and tender dev drain on the first signal and exit 0; a second
       one ends them at once with this code`,
	}
}

// exitError is an error that knows its exit code. An empty error says nothing more: the output has said it.
type exitError struct {
	code exitCode
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// sayNo ends a command whose output has already shown that the answer is no.
func sayNo() error { return &exitError{code: exitNo} }

func noSuch(format string, args ...any) error {
	return &exitError{code: exitNo, err: fmt.Errorf(format, args...)}
}

func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func timeoutError(format string, args ...any) error {
	return &exitError{code: exitTimeout, err: fmt.Errorf(format, args...)}
}

// unavailableError says which of the two services is missing, and where it should be.
type unavailableError struct {
	service string // NATS or PostgreSQL
	address string // without a password
	err     error
}

func (e *unavailableError) Error() string {
	return fmt.Sprintf("%s is not reachable at %s: %s", e.service, e.address, inOneLine(e.err))
}

// inOneLine shortens what a driver says: one line for each address that it tried, and the same address with and without
// TLS, behind a user and a database that the address names already.
func inOneLine(err error) string {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) && connect.Unwrap() != nil {
		err = connect.Unwrap()
	}
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

func (e *unavailableError) Unwrap() error { return e.err }

// codeOf classifies the error of a command that ran.
func codeOf(err error) exitCode {
	var known *exitError
	var unavailable *unavailableError
	var refused *messages.DecodeError
	var schema *store.SchemaError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &known):
		return known.code
	case errors.As(err, &unavailable):
		return exitUnavailable
	case errors.As(err, &schema):
		return exitUnavailable
	case len(config.KeyErrors(err)) > 0, errors.As(err, &refused):
		return exitUsage
	case errors.Is(err, store.ErrNotFound):
		return exitNo
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return exitTimeout
	case notPrepared(err), connectionLost(err):
		return exitUnavailable
	default:
		return exitFailed
	}
}

func notPrepared(err error) bool {
	return errors.Is(err, client.ErrStreamMissing) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabled)
}

func connectionLost(err error) bool {
	return store.Retryable(err) || errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrNoResponders)
}

// report says on standard error why a command failed: one line, or one for each mistake in the configuration.
func report(w io.Writer, err error, hint string) {
	if mistakes := config.KeyErrors(err); len(mistakes) > 0 {
		fmt.Fprintln(w, "tender: the configuration is wrong:")
		for _, m := range mistakes {
			fmt.Fprintf(w, "  %s\n", m)
		}
		return
	}
	if text := err.Error(); text != "" {
		// Two services may be missing at once.
		fmt.Fprintln(w, "tender: "+strings.ReplaceAll(text, "\n", "\ntender: "))
	}
	if hint != "" {
		fmt.Fprintln(w, hint)
	}
}
