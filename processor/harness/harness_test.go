package harness_test

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/processor/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

func TestDatabasesAreSeparate(t *testing.T) {
	t.Parallel()
	var group sync.WaitGroup
	urls := make([]string, 8)
	for i := range urls {
		group.Go(func() { urls[i] = harness.Database(t) })
	}
	group.Wait()
	for _, address := range urls {
		conn := connect(t, address)
		if _, err := conn.Exec(t.Context(), "CREATE TABLE only_mine (id int)"); err != nil {
			t.Errorf("create a table: %v", err)
		}
	}
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func TestNATS(t *testing.T) {
	t.Parallel()
	bus := harness.NATS(t)
	nc := bus.Connect(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "A", Subjects: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	bus.Restart(t)
	harness.Eventually(t, "stream back", func() bool {
		s, err := js.Stream(t.Context(), "A")
		return err == nil && s.CachedInfo().State.Msgs == 1
	})
}
