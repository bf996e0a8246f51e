package term

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/client"
	"github.com/seed-384b1f8a/tender/processor/store"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want ExitCode
	}{
		"nothing wrong":           {nil, ExitOK},
		"an answer that was said": {SayNo(), ExitNo},
		"no such payment":         {fmt.Errorf("get: %w", store.ErrNotFound), ExitNo},
		"a flag":                  {UsageError("--limit must be positive"), ExitUsage},
		"a setting":               {errors.Join(&config.KeyError{Key: "roles", Problem: "is missing"}), ExitUsage},
		"a command refused":       {&messages.DecodeError{Code: messages.CodeMissingField}, ExitUsage},
		"no server":               {&UnavailableError{Service: ServiceNATS, Err: errors.New("refused")}, ExitUnavailable},
		"no stream":               {fmt.Errorf("publish: %w", client.ErrStreamMissing), ExitUnavailable},
		"no JetStream":            {fmt.Errorf("look: %w", jetstream.ErrJetStreamNotEnabled), ExitUnavailable},
		"no schema":               {fmt.Errorf("open: %w", &store.SchemaError{Needed: 2}), ExitUnavailable},
		"no outcome in time":      {TimeoutError("no outcome"), ExitTimeout},
		"no answer in time":       {fmt.Errorf("wait: %w", context.DeadlineExceeded), ExitTimeout},
		"anything else":           {errors.New("disk full"), ExitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := CodeOf(tc.err); got != tc.want {
				t.Errorf("exit code %d, want %d", got, tc.want)
			}
		})
	}
}

func TestReportNamesBothServices(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	e := &Env{Program: "tender", Stderr: &said}
	e.report(errors.Join(
		&UnavailableError{Service: ServiceNATS, Address: "nats://a:4222", Err: errors.New("refused")},
		&UnavailableError{Service: ServicePostgres, Address: "postgres://b/tender", Err: errors.New("timeout\n\ttimeout")},
	))
	want := "tender: NATS is not reachable at nats://a:4222: refused\n" +
		"tender: PostgreSQL is not reachable at postgres://b/tender: timeout\n"
	if said.String() != want {
		t.Errorf("it said\n%swant\n%s", said.String(), want)
	}
}

func TestPrintableTamesTerminals(t *testing.T) {
	t.Parallel()
	if got, want := Printable("a\x1b[31mb\n\u202ec\xff é"), "a·[31mb··c· é"; got != want {
		t.Errorf("printable: %q, want %q", got, want)
	}
}
