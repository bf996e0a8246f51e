package main

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
		want exitCode
	}{
		"nothing wrong":           {nil, exitOK},
		"an answer that was said": {sayNo(), exitNo},
		"no such payment":         {fmt.Errorf("get: %w", store.ErrNotFound), exitNo},
		"a flag":                  {usageError("--limit must be positive"), exitUsage},
		"a setting":               {errors.Join(&config.KeyError{Key: "roles", Problem: "is missing"}), exitUsage},
		"a command refused":       {&messages.DecodeError{Code: messages.CodeMissingField}, exitUsage},
		"nobody there":            {&unavailableError{service: serviceNATS, err: errors.New("refused")}, exitUnavailable},
		"no stream":               {fmt.Errorf("publish: %w", client.ErrStreamMissing), exitUnavailable},
		"no JetStream":            {fmt.Errorf("look: %w", jetstream.ErrJetStreamNotEnabled), exitUnavailable},
		"no schema":               {fmt.Errorf("open: %w", &store.SchemaError{Needed: 2}), exitUnavailable},
		"no outcome in time":      {timeoutError("no outcome"), exitTimeout},
		"no answer in time":       {fmt.Errorf("wait: %w", context.DeadlineExceeded), exitTimeout},
		"anything else":           {errors.New("disk full"), exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := codeOf(tc.err); got != tc.want {
				t.Errorf("exit code %d, want %d", got, tc.want)
			}
		})
	}
}

func TestReportNamesBothServices(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	report(&said, errors.Join(
		&unavailableError{service: serviceNATS, address: "nats://a:4222", err: errors.New("refused")},
		&unavailableError{service: servicePostgres, address: "postgres://b/tender", err: errors.New("timeout\n\ttimeout")},
	), "")
	want := "tender: NATS is not reachable at nats://a:4222: refused\n" +
		"tender: PostgreSQL is not reachable at postgres://b/tender: timeout\n"
	if said.String() != want {
		t.Errorf("it said\n%swant\n%s", said.String(), want)
	}
}

func TestPrintableTamesTerminals(t *testing.T) {
	t.Parallel()
	if got, want := printable("a\x1b[31mb\n\u202ec\xff é"), "a·[31mb··c· é"; got != want {
		t.Errorf("printable: %q, want %q", got, want)
	}
}
