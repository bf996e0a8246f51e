package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap/zaptest"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

const tenant = "acme"

// start is when every test begins; its instants are exact in microseconds, as those of decisions are.
func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// bundle is a migrated database with one store on it. The store has the rights of the serving role, the test those of
// the superuser.
type bundle struct {
	testing.TB
	url     string
	pool    *pgxpool.Pool
	serving *pgxpool.Pool
	store   *store.Store
}

// servingRole exists once for all databases of the server; its password protects nothing.
const servingRole = "tender_serve_test"

func setup(t testing.TB) *bundle { return setupWith(t, store.Config{}) }

func setupWith(t testing.TB, cfg store.Config) *bundle {
	t.Helper()
	b := &bundle{TB: t, url: storetest.Database(t)}
	b.pool = newPool(t, b.url)
	b.exec(`DO $$ BEGIN CREATE ROLE ` + servingRole + ` LOGIN PASSWORD 'serve';
		EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
	if err := store.GrantServing(t.Context(), b.pool, servingRole); err != nil {
		t.Fatal(err)
	}
	b.serving = newPool(t, b.url, asServingRole)
	b.store = b.newStore(b.serving, cfg)
	return b
}

func asServingRole(cfg *pgxpool.Config) {
	cfg.ConnConfig.User, cfg.ConnConfig.Password = servingRole, "serve"
}

func newPool(t testing.TB, url string, adjust ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxConns = 12
	for _, f := range adjust {
		f(cfg)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func (b *bundle) newStore(pool *pgxpool.Pool, cfg store.Config) *store.Store {
	b.Helper()
	s := store.New(pool, cfg, zaptest.NewLogger(b))
	b.Cleanup(s.Close)
	return s
}

// exec runs a statement as the superuser.
func (b *bundle) exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.pool.Exec(b.Context(), sql, args...); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

func (b *bundle) count(sql string, args ...any) int {
	b.Helper()
	var n int
	if err := b.pool.QueryRow(b.Context(), sql, args...).Scan(&n); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return n
}

// newID returns ids that rise, as those of producers should.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func command(paymentID uuid.UUID, key string, body messages.CommandBody) messages.Command {
	return messages.Command{
		ID: key, Tenant: tenant, PaymentID: paymentID, IdempotencyKey: key, CorrelationID: paymentID.String(),
		PayloadHash: sha256.Sum256(fmt.Appendf(nil, "%s %+v", body.CommandName(), body)), Body: body,
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
}

func create(paymentID uuid.UUID, key string, method messages.CaptureMethod) messages.Command {
	return command(paymentID, key, &messages.Create{
		AmountMinor: 10000, Currency: "USD", PaymentMethod: "pm_card_visa", CaptureMethod: method,
		CustomerID: "cus_1", MerchantReference: "order " + key,
	})
}

func amount(minor int64) *int64 { return &minor }

func env(now time.Time) payment.Env {
	return payment.Env{Now: now, Policy: payment.DefaultPolicy(), Route: func() payment.Route { return payment.Route{Gateway: "sim", Rule: "default"} }}
}

func keyOf(cmd messages.Command) store.Key {
	return store.Key{
		PaymentID: cmd.PaymentID, Tenant: cmd.Tenant, Command: cmd.Name(), IdempotencyKey: cmd.IdempotencyKey,
		ConflictHash: store.ConflictHash(cmd.PayloadHash, cmd.PaymentID),
	}
}

func claimOf(cmd messages.Command, d payment.Decision) *store.Claim {
	return &store.Claim{
		Tenant: cmd.Tenant, Command: cmd.Name(), Key: cmd.IdempotencyKey, PayloadHash: cmd.PayloadHash,
		OperationID: d.OperationID(), Rejected: d.Refusal != nil,
	}
}

// change is what a decision about p comes to.
func change(p *payment.Payment, d payment.Decision, claim *store.Claim) store.Change {
	return store.Change{
		Payment: d.Payment, ExpectedVersion: p.Version, Events: d.Events, Claim: claim,
		PreviousDueAt: p.DueAt(), PreviousHash: p.LastHash,
	}
}

// first decides a create for a payment that isn't there yet.
func first(cmd messages.Command) store.Change {
	p := &payment.Payment{}
	d := payment.Decide(p, cmd, env(start()))
	return change(p, d, claimOf(cmd, d))
}

func (b *bundle) commit(c store.Change) {
	b.Helper()
	if err := b.store.Commit(b.Context(), c); err != nil {
		b.Fatal(err)
	}
}

// answer is what a command came to.
type answer struct {
	refusal *messages.CommandRejected // nil if it was accepted
	repeat  bool                      // it had been answered before
	payment *payment.Payment
}

// handle takes a command the whole way, as a worker does, with a gateway that always gives the same outcome.
func handle(ctx context.Context, s *store.Store, cmd messages.Command, outcome messages.Outcome, now time.Time) (answer, error) {
	for {
		a, err := handleOnce(ctx, s, cmd, outcome, now)
		again := errors.Is(err, store.ErrVersionConflict) || errors.Is(err, store.ErrClaimTaken) || store.Retryable(err)
		if !again || ctx.Err() != nil {
			return a, err
		}
	}
}

func handleOnce(ctx context.Context, s *store.Store, cmd messages.Command, outcome messages.Outcome, now time.Time) (answer, error) {
	loaded, err := s.Load(ctx, keyOf(cmd))
	if err != nil {
		return answer{}, err
	}
	if loaded.Claim != nil {
		return answered(ctx, s, cmd, loaded, outcome, now)
	}
	d := payment.Decide(loaded.Payment, cmd, env(now))
	if err := s.Commit(ctx, change(loaded.Payment, d, claimOf(cmd, d))); err != nil {
		return answer{}, err
	}
	if d.Call == nil {
		return answer{refusal: d.Refusal, payment: d.Payment}, nil
	}
	return settle(ctx, s, cmd, d, outcome, now)
}

// settle commits the gateway's outcome, however the payment moves on meanwhile.
func settle(
	ctx context.Context, s *store.Store, cmd messages.Command, d payment.Decision, outcome messages.Outcome, now time.Time,
) (answer, error) {
	p := d.Payment
	for {
		settled := payment.Settle(p, cmd, *d.Call, outcome, env(now))
		if len(settled.Events) == 0 {
			return answer{payment: p}, nil
		}
		err := s.Commit(ctx, change(p, settled, nil))
		if err == nil {
			return answer{payment: settled.Payment}, nil
		}
		if !errors.Is(err, store.ErrVersionConflict) {
			return answer{}, err
		}
		loaded, err := s.Load(ctx, keyOf(cmd))
		if err != nil {
			return answer{}, err
		}
		p = loaded.Payment
	}
}

// answered is the way of a command whose key was used before: by itself, or for something else.
func answered(
	ctx context.Context, s *store.Store, cmd messages.Command, loaded store.Loaded, outcome messages.Outcome, now time.Time,
) (answer, error) {
	if loaded.Conflict != nil {
		return answer{repeat: true, payment: loaded.Payment}, nil
	}
	if loaded.Claim.PayloadHash == cmd.PayloadHash && loaded.Claim.PaymentID == cmd.PaymentID {
		return resume(ctx, s, cmd, loaded, outcome, now)
	}
	d := payment.Reject(loaded.Payment, cmd, messages.CommandRejected{
		Code: messages.RejectIdempotencyConflict, Message: "the key was used for something else",
		OriginalPaymentID: loaded.Claim.PaymentID,
	}, env(now))
	claim := claimOf(cmd, d)
	claim.ConflictHash = store.ConflictHash(cmd.PayloadHash, cmd.PaymentID)
	if err := s.Commit(ctx, change(loaded.Payment, d, claim)); err != nil {
		return answer{}, err
	}
	return answer{refusal: d.Refusal, payment: d.Payment}, nil
}

// resume takes up a command whose answer may have been cut short.
func resume(
	ctx context.Context, s *store.Store, cmd messages.Command, loaded store.Loaded, outcome messages.Outcome, now time.Time,
) (answer, error) {
	d := payment.Continue(loaded.Payment, cmd, loaded.Claim.OperationID, env(now))
	if d.Call == nil {
		return answer{repeat: true, payment: loaded.Payment}, nil
	}
	if err := s.Commit(ctx, change(loaded.Payment, d, nil)); err != nil {
		return answer{}, err
	}
	a, err := settle(ctx, s, cmd, d, outcome, now)
	a.repeat = true
	return a, err
}

func succeeded() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "ch_1", Tries: 1}
}

func unknown() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "no answer within 10s", Tries: 1}
}

func (b *bundle) handle(cmd messages.Command, outcome messages.Outcome, now time.Time) answer {
	b.Helper()
	a, err := handle(b.Context(), b.store, cmd, outcome, now)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// connect returns a connection that is closed at the end of the test.
func (b *bundle) connect() *pgx.Conn {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), b.url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	return conn
}

// check looks at all invariants as of shortly after start.
func (b *bundle) check() store.Report {
	b.Helper()
	report, err := store.CheckInvariants(b.Context(), b.pool, store.CheckOptions{Now: start().Add(time.Minute), FindingsMax: 1000})
	if err != nil {
		b.Fatal(err)
	}
	return report
}

func (b *bundle) wantClean() {
	b.Helper()
	if report := b.check(); !report.Clean() {
		for _, f := range report.Findings {
			b.Errorf("payment %s: %s: %s", f.PaymentID, f.Invariant, f.Detail)
		}
	}
}
