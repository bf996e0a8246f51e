package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest/observer"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// crowd are payments that refunds of one minor unit are made on, all at once.
type crowd struct {
	*stepwise
	ids     []uuid.UUID
	refunds int64
}

// newCrowd makes the payments with everything running but the relay, which the caller starts.
func newCrowd(t *testing.T, trouble func(*stepwise)) *crowd {
	t.Helper()
	s := setupSteps(t)
	s.cfg.SlotsMax, s.poolMax, s.batching = 64, 8, store.Config{}
	s.answerWait = faultWait // none of these troubles is the gateway's, however busy the machine is
	trouble(s)
	c := &crowd{stepwise: s}
	s.scheduling = s.process().scheduler()
	s.process().worker()
	c.ids = s.creates(24)
	s.settled()
	slices.SortFunc(c.ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return c
}

// refund publishes one more refund for each payment.
func (c *crowd) refund() {
	c.t.Helper()
	c.refunds++
	for _, id := range c.ids {
		c.publish(id, fmt.Sprintf("%s-%d", id, c.refunds), &messages.Refund{AmountMinor: amount(1)})
	}
}

// allRight holds that nothing was lost and nothing done twice.
func (c *crowd) allRight() {
	c.t.Helper()
	c.eventually("every refund is recorded", func() bool { // what a timer takes up again is settled later than its command
		var refunded int64
		err := c.pool.QueryRow(c.t.Context(), `SELECT sum(refunded_minor) FROM payments WHERE payment_id = ANY ($1)`, c.ids).Scan(&refunded)
		return err == nil && refunded >= c.refunds*int64(len(c.ids))
	})
	c.settled()
	c.verify()
	bus := c.onBus()
	for _, id := range c.ids {
		totals := c.totals(id)
		if got := c.get(id); got.RefundedMinor != c.refunds || totals.RefundedMinor != c.refunds || totals.Effects != int(c.refunds)+1 {
			c.t.Errorf("payment %s: %d refunded here, want %d; at the gateway %+v", id, got.RefundedMinor, c.refunds, totals)
		}
		var want []int64
		for _, e := range c.history(id) {
			if e.Type().Published() {
				want = append(want, e.Version)
			}
		}
		if !slices.Equal(bus[id], want) {
			c.t.Errorf("payment %s: versions %v on the bus, want %v", id, bus[id], want)
		}
	}
}

// begin opens a transaction that is left open.
func (c *crowd) begin() pgx.Tx {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.pool.Config().ConnString())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(c.t.Context())) })
	tx, err := conn.Begin(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return tx
}

// setting sets a default of the database for all sessions that are begun after it.
func (s *stepwise) setting(assignment string) {
	s.t.Helper()
	name := pgx.Identifier{s.pool.Config().ConnConfig.Database}.Sanitize()
	if _, err := s.pool.Exec(s.t.Context(), "ALTER DATABASE "+name+" SET "+assignment); err != nil {
		s.t.Fatal(err)
	}
}

func TestSerializationFailuresLoseNothing(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, func(s *stepwise) { s.setting("default_transaction_isolation = 'serializable'") })
	c.process().relay()
	second := c.process()
	second.worker()
	for range 2 {
		c.refund()
		c.settled()
	}
	// A commit that has begun and then waits for a row has to give way when that row was changed
	// meanwhile.
	tx := c.begin()
	for _, statement := range []string{"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "UPDATE payments SET status = status"} {
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	c.refund()
	c.eventually("the store waits", func() bool { return c.waiting("INSERT INTO payments") })
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.settled()
	if !c.gaveWay("40001") {
		t.Error("no commit failed for want of serialization: this proves nothing")
	}
	c.allRight()
}

// gaveWay reports whether a commit was tried again for an error of that SQLSTATE.
func (c *crowd) gaveWay(state string) bool {
	return slices.ContainsFunc(c.logs.FilterMessage("commit again").All(), func(e observer.LoggedEntry) bool {
		return strings.Contains(fmt.Sprint(e.ContextMap()["error"]), state)
	})
}

func TestADeadlockLosesNothing(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, func(s *stepwise) {
		s.setting("deadlock_timeout = '300ms'")
		s.batching.Committers = 1
	})
	c.process().relay()
	const lock = `SELECT FROM payments WHERE payment_id = $1 FOR UPDATE`
	for try := 0; try < 20 && !c.gaveWay("40P01"); try++ {
		// The store locks in the order of ids. While it waits for the first payment the others
		// gather for the next batch, and while that one waits for the last payment this session
		// goes the other way round. Whose wait is the first to take too long gives way: that is the
		// store, since this session is more patient.
		first, tx := c.begin(), c.begin()
		if _, err := tx.Exec(t.Context(), "SET LOCAL deadlock_timeout = '5s'"); err != nil {
			t.Fatal(err)
		}
		if _, err := first.Exec(t.Context(), lock, c.ids[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), lock, c.ids[len(c.ids)-1]); err != nil {
			t.Fatal(err)
		}
		c.refund()
		c.eventually("the store waits", c.isBlocked)
		c.eventually("every refund is under way", func() bool { return c.backlog().NumPending == 0 })
		if err := first.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.eventually("the store waits for the last payment", func() bool { return c.isBlocked() || c.backlog().NumAckPending == 0 })
		for _, id := range c.ids[:len(c.ids)-1] {
			if _, err := tx.Exec(t.Context(), lock, id); err != nil {
				break // this one was chosen to give way
			}
		}
		_ = tx.Rollback(t.Context()) // an aborted transaction is over already
		c.settled()
	}
	if !c.gaveWay("40P01") {
		t.Error("the store never had to give way: this proves nothing")
	}
	c.allRight()
}

// backlog is what the workers' consumer has to deliver and what it waits for.
func (c *crowd) backlog() *jetstream.ConsumerInfo {
	c.t.Helper()
	consumer, err := c.js.Consumer(c.t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		c.t.Fatal(err)
	}
	return consumer.CachedInfo()
}

func TestTwoConnectionsAreEnough(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, func(s *stepwise) { s.poolMax = 2 })
	c.process().relay()
	for range 3 {
		c.refund()
	}
	c.settled()
	c.allRight()
}

func TestASessionThatIdlesOnLocksHoldsUpAndLosesNothing(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, func(*stepwise) {})
	tx := c.begin()
	for _, lock := range []string{"SELECT FROM payments FOR UPDATE", "SELECT FROM outbox FOR UPDATE"} {
		if tag, err := tx.Exec(t.Context(), lock); err != nil || tag.RowsAffected() == 0 {
			t.Fatalf("%s: %d rows, %v", lock, tag.RowsAffected(), err)
		}
	}
	c.process().relay()
	c.refund()
	c.eventually("both the worker and the relay wait", func() bool { return c.waiting("payments") && c.waiting("outbox") })
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.settled()
	c.allRight()
}

// waiting reports whether a statement with this text waits for a lock.
func (c *crowd) waiting(text string) (waiting bool) {
	err := c.pool.QueryRow(c.t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%')`, text).Scan(&waiting)
	return err == nil && waiting
}

func TestALongWritingTransactionHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, func(*stepwise) {})
	c.process().relay()
	stranger := c.creates(1)[0]
	c.settled()
	tx := c.begin()
	if _, err := tx.Exec(t.Context(), "UPDATE payments SET status = status WHERE payment_id = $1", stranger); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.refund()
	}
	c.settled()
	c.allRight() // while it is still open
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.allRight()
}

// TestClocksMayJump has workers and a scheduler whose clocks differ and jump, ahead by hours and
// back by minutes.
func TestClocksMayJump(t *testing.T) {
	t.Parallel()
	s := setupSteps(t)
	s.cfg.SlotsMax = 8
	began := time.Now()
	var ahead [3]atomic.Int64
	clock := func(i int) func() time.Time {
		return func() time.Time { return time.Now().Add(time.Duration(ahead[i].Load())) }
	}
	set := func(jumps [3]time.Duration) {
		for i := range jumps {
			ahead[i].Store(int64(jumps[i]))
		}
	}
	s.process().relay()
	scheduler := s.process()
	scheduler.clock = clock(0)
	s.scheduling = scheduler.scheduler()
	var passages []*passage
	for range 4 {
		passages = append(passages, s.prepare(flows())...)
	}
	for i := range 2 {
		w := s.process()
		w.clock = clock(i + 1)
		w.worker()
	}
	for i, jumps := range [][3]time.Duration{
		{0, 3 * time.Hour, -10 * time.Minute},
		{5 * time.Hour, -10 * time.Minute, 0},
		{-10 * time.Minute, 5 * time.Hour, 5 * time.Hour},
		{time.Hour, -time.Minute, 4 * time.Hour},
	} {
		set(jumps)
		for _, p := range passages[6*i : 6*(i+1)] {
			p.send()
		}
		s.settled()
	}
	// What the fast clocks put off is due when the slow ones get there.
	set([3]time.Duration{6 * time.Hour, 6 * time.Hour, 6 * time.Hour})
	s.passTime(6 * time.Hour)
	for _, p := range passages {
		p.done()
	}
	s.allRight(passages)
	s.calm(len(passages), began)
}

// calm holds that timers did not fire in a hot loop: no more often than their lease allows.
func (s *stepwise) calm(payments int, began time.Time) {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), messages.StreamCommands)
	if err != nil {
		s.t.Fatal(err)
	}
	most := uint64(payments) * uint64(10+time.Since(began)/s.lease)
	if sent := stream.CachedInfo().State.Msgs; sent > most {
		s.t.Errorf("%d commands for %d payments, want %d at most: timers fire in a loop", sent, payments, most)
	}
}
