package bus_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func newBus(t testing.TB) jetstream.JetStream {
	t.Helper()
	js := servers.JetStream(t, servers.NATS(t).Connect(t))
	return js
}

func provision(t testing.TB, js jetstream.JetStream, o bus.StreamOptions, how bus.ProvisionOptions) []bus.Change {
	t.Helper()
	changes, err := bus.Provision(t.Context(), js, o, how)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func texts(changes []bus.Change) []string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, c.String())
	}
	return lines
}

func TestProvision(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	check := bus.ProvisionOptions{CheckOnly: true}
	steps := []struct {
		name string
		o    bus.StreamOptions
		how  bus.ProvisionOptions
		want []string
	}{
		{"check finds nothing", bus.StreamOptions{}, check, []string{
			"stream PAYMENTS_CMD: missing", "stream PAYMENTS_EVT: missing", "stream PAYMENTS_DLQ: missing",
			"stream PAYMENTS_ADV: missing", "stream PAYMENTS_AUDIT: missing", "consumer workers: missing", "consumer collector: missing",
		}},
		{"it makes everything, as the check changed nothing", bus.StreamOptions{}, bus.ProvisionOptions{}, []string{
			"stream PAYMENTS_CMD: created", "stream PAYMENTS_EVT: created", "stream PAYMENTS_DLQ: created",
			"stream PAYMENTS_ADV: created", "stream PAYMENTS_AUDIT: created", "consumer workers: created", "consumer collector: created",
		}},
		{"again changes nothing", bus.StreamOptions{}, bus.ProvisionOptions{}, []string{
			"stream PAYMENTS_CMD: unchanged", "stream PAYMENTS_EVT: unchanged", "stream PAYMENTS_DLQ: unchanged",
			"stream PAYMENTS_ADV: unchanged", "stream PAYMENTS_AUDIT: unchanged", "consumer workers: unchanged", "consumer collector: unchanged",
		}},
		{"check compares", bus.StreamOptions{CommandMaxAge: 24 * time.Hour, AckWait: time.Minute}, check, []string{
			"stream PAYMENTS_CMD: differs in max_age 168h0m0s -> 24h0m0s", "stream PAYMENTS_EVT: unchanged",
			"stream PAYMENTS_DLQ: unchanged", "stream PAYMENTS_ADV: unchanged", "stream PAYMENTS_AUDIT: unchanged", "consumer workers: differs in ack_wait 30s -> 1m0s",
			"consumer collector: unchanged",
		}},
		{"it updates", bus.StreamOptions{
			CommandMaxAge: 24 * time.Hour, CommandMaxBytes: 1 << 30, AckWait: time.Minute, AckPendingMax: 7, DeliveriesMax: 9,
			DuplicatesWindow: time.Minute, EventMaxAge: time.Hour, DeadLetterMaxAge: time.Hour,
		}, bus.ProvisionOptions{}, []string{
			"stream PAYMENTS_CMD: updated max_age 168h0m0s -> 24h0m0s, max_bytes -1 -> 1073741824, duplicate_window 2m0s -> 1m0s",
			"stream PAYMENTS_EVT: updated max_age unlimited -> 1h0m0s, duplicate_window 2m0s -> 1m0s",
			"stream PAYMENTS_DLQ: updated max_age 720h0m0s -> 1h0m0s, duplicate_window 2m0s -> 1m0s",
			"stream PAYMENTS_ADV: updated max_age 720h0m0s -> 1h0m0s, duplicate_window 2m0s -> 1m0s",
			"stream PAYMENTS_AUDIT: updated duplicate_window 2m0s -> 1m0s",
			"consumer workers: updated ack_wait 30s -> 1m0s, max_deliver -1 -> 9, max_ack_pending 10000 -> 7",
			"consumer collector: unchanged",
		}},
	}
	for _, s := range steps {
		if diff := cmp.Diff(s.want, texts(provision(t, js, s.o, s.how))); diff != "" {
			t.Fatalf("%s: -want +got:\n%s", s.name, diff)
		}
	}
}

func TestProvisionLeavesWhatOthersSet(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	theirs := bus.Streams(bus.StreamOptions{})[0]
	theirs.Compression = jetstream.S2Compression
	theirs.Metadata = map[string]string{"owner": "team-pay"}
	theirs.DenyPurge = true
	theirs.AllowAtomicPublish = false
	if _, err := js.CreateStream(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	changes := provision(t, js, bus.StreamOptions{}, bus.ProvisionOptions{})
	want := "stream PAYMENTS_CMD: updated allow_atomic false -> true, metadata tender.contract= -> tender.contract=1"
	if got := changes[0].String(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	stream, err := js.Stream(t.Context(), messages.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	if c.Compression != jetstream.S2Compression || c.Metadata["owner"] != "team-pay" || !c.DenyPurge || !c.AllowAtomicPublish {
		t.Errorf("what others set was changed: %+v", c)
	}
}

func TestProvisionRefuses(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	commands := bus.Streams(bus.StreamOptions{})[0]
	commands.Storage = jetstream.MemoryStorage
	commands.Retention = jetstream.WorkQueuePolicy
	if _, err := js.CreateStream(t.Context(), commands); err != nil {
		t.Fatal(err)
	}
	for _, how := range []bus.ProvisionOptions{{CheckOnly: true}, {}} {
		_, err := bus.Provision(t.Context(), js, bus.StreamOptions{}, how)
		var refused *bus.RefusedChangeError
		if !errors.As(err, &refused) || refused.Name != messages.StreamCommands || refused.Field != "retention" {
			t.Errorf("%+v: %v", how, err)
		}
		if err != nil && !strings.Contains(err.Error(), "storage") {
			t.Errorf("the error names only one of two: %v", err)
		}
	}
	if _, err := js.Stream(t.Context(), messages.StreamEvents); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("a refused provision made a stream: %v", err)
	}
}

func TestProvisionNeverDeletesMessages(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	provision(t, js, bus.StreamOptions{}, bus.ProvisionOptions{})
	publish(t, js, minimalCreate)
	_, err := bus.Provision(t.Context(), js, bus.StreamOptions{CommandMaxBytes: 10}, bus.ProvisionOptions{})
	var refused *bus.RefusedChangeError
	if !errors.As(err, &refused) || refused.Field != "max_bytes" {
		t.Errorf("fewer bytes than there are: %v", err)
	}
	// The oldest message is a little older than this, by the server's clock, once a second one is
	// there.
	tiny := bus.StreamOptions{CommandMaxAge: time.Nanosecond, DuplicatesWindow: time.Nanosecond}
	_, err = bus.Provision(t.Context(), js, tiny, bus.ProvisionOptions{})
	if !errors.As(err, &refused) || refused.Field != "max_age" {
		t.Errorf("less time than messages are old: %v", err)
	}
}

func publish(t testing.TB, js jetstream.JetStream, body string) {
	t.Helper()
	if _, err := js.Publish(t.Context(), "payments.cmd.acme.create.0190b5a0-7d3c-7aaa-8000-000000000001", []byte(body)); err != nil {
		t.Fatal(err)
	}
}

func TestProvisionRefusesNonsense(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	for name, o := range map[string]bus.StreamOptions{
		"replicas":          {Replicas: 6},
		"negative age":      {CommandMaxAge: -time.Hour},
		"duplicates window": {CommandMaxAge: time.Minute, DuplicatesWindow: time.Hour},
		"bytes":             {CommandMaxBytes: -2},
	} {
		if _, err := bus.Provision(t.Context(), js, o, bus.ProvisionOptions{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestEventsAndCheckpointsCannotBeDeleted(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	provision(t, js, bus.StreamOptions{}, bus.ProvisionOptions{})
	for _, name := range []string{messages.StreamEvents, messages.StreamAudit} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context()); err == nil {
			t.Errorf("%s can be purged", name)
		}
	}
}

func TestAdvisoriesAreKept(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	provision(t, js, bus.StreamOptions{}, bus.ProvisionOptions{})
	publish(t, js, "rubbish")
	consumer, err := js.Consumer(t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.TermWithReason("test"); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, "an advisory about the terminated command", func() bool {
		stream, err := js.Stream(t.Context(), bus.StreamAdvisories)
		return err == nil && stream.CachedInfo().State.Msgs == 1
	})
}

const minimalCreate = `{"amount_minor":1999,"currency":"USD","payment_method":"pm_card_visa"}`
