package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// cut says where a connection breaks.
type cut int32

const (
	nowhere cut = iota
	beforePayments
	beforeCommit
	afterCommit
)

// wire breaks a connection around a statement, once for each time it is set.
type wire struct{ at atomic.Int32 }

func (w *wire) set(at cut) { w.at.Store(int32(at)) }

func (w *wire) take(at cut) bool { return w.at.CompareAndSwap(int32(at), int32(nowhere)) }

// install makes a pool dial through the wire.
func (w *wire) install(cfg *pgxpool.Config) {
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &wiredConn{Conn: conn, wire: w}, nil
	}
}

type wiredConn struct {
	net.Conn
	wire   *wire
	broken atomic.Bool
}

// Write breaks the connection before or after what it writes has reached the server.
func (c *wiredConn) Write(b []byte) (int, error) {
	commits := bytes.Contains(b, statementName("commit"))
	switch {
	case bytes.Contains(b, statementName("begin")) && c.wire.take(beforePayments), commits && c.wire.take(beforeCommit):
		return 0, c.breakUp()
	case commits && c.wire.take(afterCommit):
		// The answer is awaited, so that the server is done, and then kept from the client, who may
		// be reading already.
		c.broken.Store(true)
		return c.Conn.Write(b)
	default:
		return c.Conn.Write(b)
	}
}

func (c *wiredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.broken.Load() {
		return 0, c.breakUp()
	}
	return n, err
}

func (c *wiredConn) breakUp() error {
	return errors.Join(&net.OpError{Op: "cut", Net: "tcp", Err: net.ErrClosed}, c.Close())
}

// statementName is how pgx names the statement once it is prepared.
func statementName(sql string) []byte {
	digest := sha256.Sum256([]byte(sql))
	return []byte("stmtcache_" + hex.EncodeToString(digest[:24]))
}

func TestConnectionBreaksAroundTheCommit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		at        cut
		contested bool
		unknown   bool
		written   int
	}{
		// All in one round trip: it is unknown how much of it was sent.
		"before anything is sent":       {beforePayments, false, true, 0},
		"before the commit is sent":     {beforeCommit, false, true, 0},
		"before the commit is answered": {afterCommit, false, true, 1},
		// In two, after a conflict.
		"contested, before the payments are written": {beforePayments, true, false, 1}, // another try is made, since nothing was written
		"contested, before the commit is sent":       {beforeCommit, true, true, 0},
		"contested, before the commit is answered":   {afterCommit, true, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var w wire
			pool := newPool(t, b.URL, asServingRole, w.install, func(cfg *pgxpool.Config) { cfg.MaxConns = 1 })
			s := b.NewStore(pool, store.Config{})
			if err := s.Commit(t.Context(), first(create(newID(), "prepares the statements", ""))); err != nil {
				t.Fatal(err)
			}
			if test.contested {
				lost := create(newID(), "contested", "")
				for _, want := range []error{nil, store.ErrVersionConflict} {
					if err := s.Commit(t.Context(), first(lost)); !errors.Is(err, want) {
						t.Fatalf("contest: %v, want %v", err, want)
					}
				}
				if err := s.Commit(t.Context(), first(create(newID(), "prepares what the error made pgx forget", ""))); err != nil {
					t.Fatal(err)
				}
			}
			cmd := create(newID(), "k1", "")
			w.set(test.at)
			err := s.Commit(t.Context(), first(cmd))
			if got := errors.Is(err, store.ErrOutcomeUnknown); got != test.unknown || got != (err != nil) || got != store.Retryable(err) {
				t.Errorf("commit: %v", err)
			}
			if n := b.Count(`SELECT count(*) FROM payments WHERE payment_id = $1`, cmd.PaymentID); n != test.written {
				t.Errorf("%d payments were written, want %d", n, test.written)
			}
			a, err := handle(t.Context(), s, cmd, succeeded(), start())
			if err != nil || a.Payment.Status != messages.StatusCaptured {
				t.Errorf("handled again: %+v, %v", a.Payment, err)
			}
			b.WantClean()
		})
	}
}

// Sessions are killed while payments are being made, wherever they are at the time.
func TestKilledSessionsLoseNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	var killing, working sync.WaitGroup
	killing.Go(func() {
		for ctx.Err() == nil {
			_, err := b.Pool.Exec(ctx, `SELECT pg_terminate_backend(pid), pg_sleep(0.05) FROM pg_stat_activity
				WHERE usename = $1 AND datname = current_database() ORDER BY random() LIMIT 1`, servingRole)
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	const workers, rounds = 8, 25
	for worker := range workers {
		working.Go(func() {
			for round := range rounds {
				paymentID := newID()
				key := fmt.Sprintf("%d-%d", worker, round)
				for _, cmd := range []messages.Command{
					create(paymentID, key, ""),
					command(paymentID, key, &messages.Refund{AmountMinor: amount(10000)}),
				} {
					if _, err := handle(ctx, b.Store, cmd, succeeded(), start()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	working.Wait()
	cancel()
	killing.Wait()
	if n := b.Count(`SELECT count(*) FROM payments WHERE status = 'refunded'`); n != workers*rounds {
		t.Errorf("%d payments are refunded, want %d", n, workers*rounds)
	}
	b.WantClean()
}

// After a failover a connection may have been left on what is now a standby.
func TestConnectionToAStandbyIsGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	role := `ALTER ROLE ` + servingRole + ` IN DATABASE ` + b.database()
	b.Exec(role + ` SET default_transaction_read_only = on`)
	s := b.NewStore(newPool(t, b.URL, asServingRole, func(cfg *pgxpool.Config) { cfg.MaxConns = 1 }), store.Config{})
	c := first(create(newID(), "k1", ""))
	if err := s.Commit(t.Context(), c); !store.Retryable(err) || errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("got %v, want an error that is worth a retry", err)
	}
	b.Exec(role + ` RESET default_transaction_read_only`)
	if err := s.Commit(t.Context(), c); err != nil {
		t.Errorf("the pool still has the connection: %v", err)
	}
}

func TestUnreachableDatabaseIsWorthARetry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refuse := func(cfg *pgxpool.Config) {
		cfg.ConnConfig.DialFunc = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}
	}
	s := b.NewStore(newPool(t, b.URL, refuse), store.Config{})
	if err := s.Commit(t.Context(), first(create(newID(), "k1", ""))); !store.Retryable(err) || errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("commit: %v", err)
	}
	if _, err := s.Load(t.Context(), keyOf(create(newID(), "k1", ""))); !store.Retryable(err) {
		t.Errorf("load: %v", err)
	}
}

// A missing right is the operator's to repair; it must neither be retried at once nor be blamed on
// single changes.
func TestMissingRightIsReportedAsSuch(t *testing.T) {
	t.Parallel()
	b := setupWith(t, store.Config{Committers: 1})
	b.Exec(`REVOKE INSERT ON payment_events FROM ` + servingRole)
	err := b.Store.Commit(t.Context(), first(create(newID(), "k1", "")))
	wantCode(t, "commit", err, "42501")
	if store.Retryable(err) {
		t.Errorf("%v is worth a retry", err)
	}
	if n := b.Count(`SELECT count(*) FROM payments`); n != 0 {
		t.Errorf("%d payments without events", n)
	}
}

func TestLoadThatPostgresRefusesFailsAlone(t *testing.T) {
	t.Parallel()
	b := setupWith(t, store.Config{Loaders: 1})
	var loading sync.WaitGroup
	for i := range 40 {
		loading.Go(func() {
			key := store.Key{PaymentID: newID(), Tenant: tenant, Command: messages.CommandCreate, IdempotencyKey: fmt.Sprint(i)}
			if i == 17 {
				key.IdempotencyKey = "nul\x00byte"
			}
			if _, err := b.Store.Load(t.Context(), key); (err != nil) != (i == 17) {
				t.Errorf("load %d: %v", i, err)
			}
		})
	}
	loading.Wait()
}

func (b *bundle) database() string {
	b.Helper()
	var name string
	if err := b.Pool.QueryRow(b.Context(), `SELECT current_database()`).Scan(&name); err != nil {
		b.Fatal(err)
	}
	return name
}
