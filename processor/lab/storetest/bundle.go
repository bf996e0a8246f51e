package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap/zaptest"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// Bundle is a migrated database with one store on it. The store has the rights of the serving role,
// the test those of the superuser.
type Bundle struct {
	testing.TB
	URL     string
	Pool    *pgxpool.Pool
	Serving *pgxpool.Pool
	Store   *store.Store
}

// Setup returns a database of its own with a store on it, for a test.
func Setup(t testing.TB) *Bundle { return SetupWith(t, store.Config{}) }

// SetupWith is Setup with a store that is tuned.
func SetupWith(t testing.TB, cfg store.Config) *Bundle {
	t.Helper()
	b := &Bundle{TB: t, URL: Database(t)}
	b.Pool = NewPool(t, b.URL)
	b.Exec(`DO $$ BEGIN CREATE ROLE ` + ServingRole + ` LOGIN PASSWORD 'serve';
		EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`)
	if err := store.GrantServing(t.Context(), b.Pool, ServingRole); err != nil {
		t.Fatal(err)
	}
	b.Serving = NewPool(t, b.URL, AsServingRole)
	b.Store = b.NewStore(b.Serving, cfg)
	return b
}

// ServingRole exists once for all databases of the server; its password protects nothing.
const ServingRole = "tender_serve_test"

// AsServingRole makes a pool connect with the rights of the serving role; see NewPool.
func AsServingRole(cfg *pgxpool.Config) {
	cfg.ConnConfig.User, cfg.ConnConfig.Password = ServingRole, "serve"
}

// NewPool returns a pool with twelve connections that is closed at the end of the test.
func NewPool(t testing.TB, url string, adjust ...func(*pgxpool.Config)) *pgxpool.Pool {
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

// NewStore returns another store, which is closed at the end of the test.
func (b *Bundle) NewStore(pool *pgxpool.Pool, cfg store.Config) *store.Store {
	b.Helper()
	s := store.New(pool, cfg, zaptest.NewLogger(b))
	b.Cleanup(s.Close)
	return s
}

// Connect returns a connection of the superuser that is closed at the end of the test.
func (b *Bundle) Connect() *pgx.Conn {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), b.URL)
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

// Exec runs a statement as the superuser.
func (b *Bundle) Exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.Pool.Exec(b.Context(), sql, args...); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

// Count returns the number that a query finds, as the superuser.
func (b *Bundle) Count(sql string, args ...any) int {
	b.Helper()
	var n int
	if err := b.Pool.QueryRow(b.Context(), sql, args...).Scan(&n); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return n
}

// Unprotect lets the superuser change the tables that are append-only.
func (b *Bundle) Unprotect() {
	b.Helper()
	b.Exec(`ALTER TABLE payment_events DISABLE TRIGGER append_only`)
	b.Exec(`ALTER TABLE checkpoints DISABLE TRIGGER append_only`)
}

// Commit writes a change, which must succeed.
func (b *Bundle) Commit(c store.Change) {
	b.Helper()
	if err := b.Store.Commit(b.Context(), c); err != nil {
		b.Fatal(err)
	}
}

// CommitMany commits new payments, all at once.
func (b *Bundle) CommitMany(n int) {
	b.Helper()
	var committing sync.WaitGroup
	for range n {
		committing.Go(func() {
			paymentID := NewID()
			if err := b.Store.Commit(b.Context(), First(Create(paymentID, paymentID.String(), ""))); err != nil {
				b.Error(err)
			}
		})
	}
	committing.Wait()
}

// Handle is the function Handle on the store of the bundle, which must succeed.
func (b *Bundle) Handle(cmd messages.Command, outcome messages.Outcome, now time.Time) Answer {
	b.Helper()
	a, err := Handle(b.Context(), b.Store, cmd, outcome, now)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// Samples are the ids of three payments: one captured and refunded in part, one authorized, one
// whose capture's outcome is unknown.
type Samples struct{ Refunded, Authorized, Unknown uuid.UUID }

// Sample puts three payments into the store.
func (b *Bundle) Sample() Samples {
	b.Helper()
	s := Samples{NewID(), NewID(), NewID()}
	key := s.Refunded.String()
	b.Handle(Create(s.Refunded, key+"a", ""), Succeeded(), Start())
	b.Handle(Command(s.Refunded, key, &messages.Refund{AmountMinor: Amount(2500)}), Succeeded(), Start())
	b.Handle(Create(s.Authorized, key+"b", messages.CaptureManual), Succeeded(), Start())
	b.Handle(Create(s.Unknown, key+"c", messages.CaptureManual), Succeeded(), Start())
	b.Handle(Command(s.Unknown, key, &messages.Capture{}), Unknown(), Start())
	return s
}

// Check looks at all invariants as of shortly after Start.
func (b *Bundle) Check() books.Report {
	b.Helper()
	report, err := books.CheckInvariants(b.Context(), b.Pool, books.CheckOptions{Now: Start().Add(time.Minute), FindingsMax: 1000})
	if err != nil {
		b.Fatal(err)
	}
	return report
}

// WantClean fails the test for each violation that Check finds.
func (b *Bundle) WantClean() {
	b.Helper()
	if report := b.Check(); !report.Clean() {
		for _, f := range report.Findings {
			b.Errorf("payment %s: %s: %s", f.PaymentID, f.Invariant, f.Detail)
		}
	}
}

// Tenant is the tenant of the commands of tests.
const Tenant = "acme"

// Start is the time at which every test begins; its instants are exact in microseconds, as those of
// decisions are.
func Start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// NewID returns ids that rise, as those of producers should.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// Command returns a command of Tenant as it comes from the bus.
func Command(paymentID uuid.UUID, key string, body messages.CommandBody) messages.Command {
	return messages.Command{
		ID: key, Tenant: Tenant, PaymentID: paymentID, IdempotencyKey: key, CorrelationID: paymentID.String(),
		PayloadHash: sha256.Sum256(fmt.Appendf(nil, "%s %+v", body.CommandName(), body)), Body: body,
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
}

// Create returns the command that creates a payment of USD 100.
func Create(paymentID uuid.UUID, key string, method messages.CaptureMethod) messages.Command {
	return Command(paymentID, key, &messages.Create{
		AmountMinor: 10000, Currency: "USD", PaymentMethod: "pm_card_visa", CaptureMethod: method,
		CustomerID: "cus_1", MerchantReference: "order " + key,
	})
}

// Amount returns an amount as commands have it, which may leave it out.
func Amount(minor int64) *int64 { return &minor }

// Env returns the surroundings of a decision: the default policy and one gateway.
func Env(now time.Time) payment.Env {
	return payment.Env{Now: now, Policy: payment.DefaultPolicy(), Route: func() payment.Route { return payment.Route{Gateway: "sim", Rule: "default"} }}
}

// KeyOf returns what Load needs to know of a command.
func KeyOf(cmd messages.Command) store.Key {
	return store.Key{
		PaymentID: cmd.PaymentID, Tenant: cmd.Tenant, Command: cmd.Name(), IdempotencyKey: cmd.IdempotencyKey,
		ConflictHash: store.ConflictHash(cmd.PayloadHash, cmd.PaymentID),
	}
}

// ClaimOf returns the claim that goes with the decision about a command.
func ClaimOf(cmd messages.Command, d payment.Decision) *store.Claim {
	return &store.Claim{
		Tenant: cmd.Tenant, Command: cmd.Name(), Key: cmd.IdempotencyKey, PayloadHash: cmd.PayloadHash,
		OperationID: d.OperationID(), Rejected: d.Refusal != nil,
	}
}

// Change returns the change that follows from a decision about p.
func Change(p *payment.Payment, d payment.Decision, claim *store.Claim) store.Change {
	now := d.Payment.UpdatedAt
	return store.Change{
		Payment: d.Payment, ExpectedVersion: p.Version, Events: d.Events, Claim: claim,
		Timer: d.Payment.Timer(now), PreviousTimer: p.Timer(now), PreviousHash: p.LastHash,
	}
}

// First decides a create for a payment that isn't there yet.
func First(cmd messages.Command) store.Change {
	p := &payment.Payment{}
	d := payment.Decide(p, cmd, Env(Start()))
	return Change(p, d, ClaimOf(cmd, d))
}

// Answer is what a command came to.
type Answer struct {
	Refusal *messages.CommandRejected // nil if it was accepted
	Repeat  bool                      // it had been answered before
	Payment *payment.Payment
}

// Handle takes a command the whole way, as a worker does, with a gateway that always gives the same
// outcome.
func Handle(ctx context.Context, s *store.Store, cmd messages.Command, outcome messages.Outcome, now time.Time) (Answer, error) {
	for {
		a, err := handleOnce(ctx, s, cmd, outcome, now)
		again := errors.Is(err, store.ErrVersionConflict) || errors.Is(err, store.ErrClaimTaken) || store.Retryable(err)
		if !again || ctx.Err() != nil {
			return a, err
		}
	}
}

func handleOnce(ctx context.Context, s *store.Store, cmd messages.Command, outcome messages.Outcome, now time.Time) (Answer, error) {
	loaded, err := s.Load(ctx, KeyOf(cmd))
	if err != nil {
		return Answer{}, err
	}
	if loaded.Claim != nil {
		return answered(ctx, s, cmd, loaded, outcome, now)
	}
	d := payment.Decide(loaded.Payment, cmd, Env(now))
	if err := s.Commit(ctx, Change(loaded.Payment, d, ClaimOf(cmd, d))); err != nil {
		return Answer{}, err
	}
	if d.Call == nil {
		return Answer{Refusal: d.Refusal, Payment: d.Payment}, nil
	}
	return Settle(ctx, s, cmd, d, outcome, now)
}

// Settle commits the gateway's outcome, however the payment moves on meanwhile.
func Settle(
	ctx context.Context, s *store.Store, cmd messages.Command, d payment.Decision, outcome messages.Outcome, now time.Time,
) (Answer, error) {
	if outcome.Kind == messages.OutcomeSucceeded && outcome.AmountMinor == 0 {
		outcome.AmountMinor = d.Call.Operation.AmountMinor
	}
	p := d.Payment
	for {
		settled := payment.Settle(p, cmd, *d.Call, outcome, Env(now))
		if len(settled.Events) == 0 {
			return Answer{Payment: p}, nil
		}
		err := s.Commit(ctx, Change(p, settled, nil))
		if err == nil {
			return Answer{Payment: settled.Payment}, nil
		}
		if !errors.Is(err, store.ErrVersionConflict) {
			return Answer{}, err
		}
		loaded, err := s.Load(ctx, KeyOf(cmd))
		if err != nil {
			return Answer{}, err
		}
		p = loaded.Payment
	}
}

// answered is the way of a command whose key was used before: by itself, or for something else.
func answered(
	ctx context.Context, s *store.Store, cmd messages.Command, loaded store.Loaded, outcome messages.Outcome, now time.Time,
) (Answer, error) {
	if loaded.Conflict != nil {
		return Answer{Repeat: true, Payment: loaded.Payment}, nil
	}
	if loaded.Claim.PayloadHash == cmd.PayloadHash && loaded.Claim.PaymentID == cmd.PaymentID {
		return resume(ctx, s, cmd, loaded, outcome, now)
	}
	d := payment.Reject(loaded.Payment, cmd, messages.CommandRejected{
		Code: messages.RejectIdempotencyConflict, Message: "the key was used for something else",
		OriginalPaymentID: loaded.Claim.PaymentID,
	}, Env(now))
	claim := ClaimOf(cmd, d)
	claim.ConflictHash = store.ConflictHash(cmd.PayloadHash, cmd.PaymentID)
	if err := s.Commit(ctx, Change(loaded.Payment, d, claim)); err != nil {
		return Answer{}, err
	}
	return Answer{Refusal: d.Refusal, Payment: d.Payment}, nil
}

// resume takes up a command whose answer may have been cut short.
func resume(
	ctx context.Context, s *store.Store, cmd messages.Command, loaded store.Loaded, outcome messages.Outcome, now time.Time,
) (Answer, error) {
	d := payment.Continue(loaded.Payment, cmd, loaded.Claim.OperationID, Env(now))
	if d.Call == nil {
		return Answer{Repeat: true, Payment: loaded.Payment}, nil
	}
	if err := s.Commit(ctx, Change(loaded.Payment, d, nil)); err != nil {
		return Answer{}, err
	}
	a, err := Settle(ctx, s, cmd, d, outcome, now)
	a.Repeat = true
	return a, err
}

// Succeeded is the answer of a gateway that did what was asked. Settle fills in the amount that was
// asked for.
func Succeeded() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "ch_1", Tries: 1}
}

// Unknown is the outcome of a call without an answer.
func Unknown() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "no answer within 10s", Tries: 1}
}
