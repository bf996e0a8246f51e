package servers_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestNATSKeepsStreamsOverARestart(t *testing.T) {
	t.Parallel()
	bus := servers.NATS(t)
	address := bus.URL()
	js := streams(t, bus.Connect(t, nats.MaxReconnects(-1)))
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "kept", []byte("word")); err != nil {
		t.Fatal(err)
	}
	bus.Restart(t)
	if bus.URL() != address {
		t.Errorf("address after the restart is %s, want %s", bus.URL(), address)
	}
	// The old connection, which has to find its way back, and a new one.
	for _, js := range []jetstream.JetStream{js, streams(t, bus.Connect(t))} {
		servers.Eventually(t, "the stream after the restart", func() bool {
			stream, err := js.Stream(t.Context(), "KEPT")
			return err == nil && stream.CachedInfo().State.Msgs == 1
		})
	}
}

func TestNATSIsDownUntilUp(t *testing.T) {
	t.Parallel()
	bus := servers.NATS(t)
	bus.Down()
	bus.Down()
	if conn, err := nats.Connect(bus.URL()); err == nil {
		conn.Close()
		t.Error("connected to a bus that is down")
	}
	for range 2 {
		if err := bus.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	bus.Connect(t)
}

func TestNATSKeepsAGivenFolder(t *testing.T) {
	t.Parallel()
	o := servers.NATSOptions{Dir: filepath.Join(t.TempDir(), "made by the first start")}
	for _, messages := range []uint64{1, 2} {
		bus := startNATS(t, o)
		if second, err := servers.StartNATS(t.Context(), o); err == nil {
			t.Errorf("a second server started in the same folder: %v", second.Stop())
		}
		js := streams(t, bus.Connect(t))
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}})
		if err != nil {
			t.Fatalf("create or find the stream: %v", err)
		}
		if _, err := js.Publish(t.Context(), "kept", nil); err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs != messages {
			t.Errorf("the stream has %d messages, want %d", info.State.Msgs, messages)
		}
		if err := errors.Join(bus.Stop(), bus.Stop()); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}

func TestNATSRemovesATemporaryFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	bus := startNATS(t, servers.NATSOptions{})
	pattern := filepath.Join(os.Getenv("TMPDIR"), "tender-*", "run-*", "jetstream")
	if found, err := filepath.Glob(pattern); err != nil || len(found) != 1 {
		t.Errorf("folders while it runs: %v (%v), want one", found, err)
	}
	if err := bus.Stop(); err != nil {
		t.Fatal(err)
	}
	if found, err := filepath.Glob(pattern); err != nil || len(found) != 0 {
		t.Errorf("folders after Stop: %v (%v), want none", found, err)
	}
}

func TestNATSNamesATakenPort(t *testing.T) {
	t.Parallel()
	port := takePort(t)
	_, err := servers.StartNATS(t.Context(), servers.NATSOptions{Port: port.Port})
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(port.Port)) {
		t.Errorf("start on a taken port: %v, want an error that names it", err)
	}
}

func TestNATSTakesAccountsFromAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.conf")
	configuration := `
		listen: 0.0.0.0:4222
		http: 8222
		max_payload: 64KB
		authorization { users: [{ user: ann, password: "secret of ann", permissions: { publish: [ann] } }] }`
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	bus := servers.NATS(t, func(o *servers.NATSOptions) { o.ConfigFile = file })
	if _, err := nats.Connect(bus.URL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("connect without a user: %v, want ErrAuthorization", err)
	}
	conn := bus.Connect(t, nats.UserInfo("ann", "secret of ann"))
	if conn.MaxPayload() != 64<<10 {
		t.Errorf("max payload is %d, want 64 KiB", conn.MaxPayload())
	}
}

func TestNATSBoundsItsStore(t *testing.T) {
	t.Parallel()
	bus := servers.NATS(t, func(o *servers.NATSOptions) { o.MaxStore = 1 << 20 })
	js := streams(t, bus.Connect(t))
	account, err := js.AccountInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BIG", MaxBytes: 2 << 20})
	var refused *jetstream.APIError
	if !errors.As(err, &refused) || refused.ErrorCode != 10047 { // insufficient storage resources
		t.Errorf("a stream of 2 MiB in 1 MiB (account %+v): %v, want a refusal", account.Limits, err)
	}
}

// startNATS starts a server that is stopped at the end of the test.
func startNATS(t *testing.T, o servers.NATSOptions) *servers.NATSServer {
	t.Helper()
	bus, err := servers.StartNATS(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bus.Stop(); err != nil {
			t.Error(err)
		}
	})
	return bus
}

func streams(t *testing.T, conn *nats.Conn) jetstream.JetStream {
	t.Helper()
	js := servers.JetStream(t, conn)
	return js
}
