package term

import (
	"context"
	"errors"
	"fmt"
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

// ExitCode is the exit code of a process. The codes are part of the contract: scripts branch on
// them.
type ExitCode int

// The exit codes. A process that a signal ends exits with 128 and the signal's number instead.
const (
	ExitOK          ExitCode = 0
	ExitNo          ExitCode = 1
	ExitUsage       ExitCode = 2
	ExitUnavailable ExitCode = 3
	ExitTimeout     ExitCode = 4
	ExitFailed      ExitCode = 5
)

// The services that an [UnavailableError] may name.
const (
	ServiceNATS     = "NATS"
	ServicePostgres = "PostgreSQL"
)

// NewExitCodes returns the help topic about the exit codes.
func NewExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Exit codes of every tender command:

  0    done, or yes
  1    the answer is no: a payment declined, refused or failed (with --wait), no such
       payment or dead letter, a finding of verify, a difference of rebuild or
       provision --check
  2    the command line or the configuration is wrong; nothing was done
  3    NATS or PostgreSQL is not reachable or not prepared (tender migrate, tender
       provision); the message says which
  4    timed out waiting; what was published stays published
  5    anything else; the message says what
  130  ended by SIGINT (Ctrl-C), 143 by SIGTERM. tender serve drains on the first signal
       and exits 0; a second signal ends it at once with this code`,
	}
}

// ExitError is an error with an exit code. Without Err it prints nothing: the output has said it.
type ExitError struct {
	Code ExitCode
	Err  error
}

// Error implements error.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }

// SayNo ends a command whose output has already shown that the answer is no ([ExitNo]).
func SayNo() error { return &ExitError{Code: ExitNo} }

// NoSuch is the error of a question whose answer is no ([ExitNo]).
func NoSuch(format string, args ...any) error {
	return &ExitError{Code: ExitNo, Err: fmt.Errorf(format, args...)}
}

// UsageError is the error of a wrong command line or configuration ([ExitUsage]).
func UsageError(format string, args ...any) error {
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}

// TimeoutError is the error of a command that waited too long ([ExitTimeout]).
func TimeoutError(format string, args ...any) error {
	return &ExitError{Code: ExitTimeout, Err: fmt.Errorf(format, args...)}
}

// NotReady is the error of a service that answers and was not prepared ([ExitUnavailable]).
func NotReady(service string, address config.URL, err error) error {
	return &ExitError{Code: ExitUnavailable, Err: fmt.Errorf("%s at %s is not ready: %w", service, address, err)}
}

// UnavailableError says which service does not answer, and at which address ([ExitUnavailable]).
type UnavailableError struct {
	Service string
	Address string // without a password
	Err     error
}

// Error implements error.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%s is not reachable at %s: %s", e.Service, e.Address, inOneLine(e.Err))
}

// Unwrap returns Err.
func (e *UnavailableError) Unwrap() error { return e.Err }

// inOneLine shortens the error of a driver. Pgx writes one line for each address that it tried, and
// for each address with and without TLS, behind a user and a database that the address names
// already.
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

// CodeOf classifies the error of a command that ran.
func CodeOf(err error) ExitCode {
	var known *ExitError
	var unavailable *UnavailableError
	var refused *messages.DecodeError
	var schema *store.SchemaError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &known):
		return known.Code
	case errors.As(err, &unavailable), errors.As(err, &schema):
		return ExitUnavailable
	case len(config.KeyErrors(err)) > 0, errors.As(err, &refused):
		return ExitUsage
	case errors.Is(err, store.ErrNotFound):
		return ExitNo
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return ExitTimeout
	case notPrepared(err), connectionLost(err):
		return ExitUnavailable
	default:
		return ExitFailed
	}
}

func notPrepared(err error) bool {
	return errors.Is(err, client.ErrStreamMissing) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabled)
}

func connectionLost(err error) bool {
	return store.Retryable(err) || errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrNoResponders)
}

// report says on standard error why a command failed: one line, or one for each mistake in the
// configuration and for each service that does not answer.
func (e *Env) report(err error) {
	if mistakes := config.KeyErrors(err); len(mistakes) > 0 {
		fmt.Fprintf(e.Stderr, "%s: the configuration is wrong:\n", e.Program)
		for _, m := range mistakes {
			fmt.Fprintf(e.Stderr, "  %s\n", m)
		}
		return
	}
	if text := err.Error(); text != "" {
		prefix := e.Program + ": "
		fmt.Fprintln(e.Stderr, prefix+strings.ReplaceAll(text, "\n", "\n"+prefix))
	}
}
