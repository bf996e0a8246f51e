package store_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed-384b1f8a/tender/processor/store"
)

// skewed is a database whose clock_timestamp a test can put forward and back, and which counts how
// often it was asked; and the clock of a process.
type skewed struct {
	*bundle
	clock *store.Clock
	// process is added to the clock of the process, in nanoseconds.
	process atomic.Int64
}

func setupSkewed(t *testing.T) *skewed {
	t.Helper()
	s := &skewed{bundle: setup(t)}
	s.Exec(`CREATE SCHEMA fake`)
	s.Exec(`CREATE TABLE fake.skew AS SELECT interval '0' AS by`)
	s.Exec(`CREATE SEQUENCE fake.asked`)
	s.Exec(`CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
		$$ SELECT pg_catalog.clock_timestamp() + by FROM fake.skew WHERE nextval('fake.asked') > 0 $$`)
	pool := newPool(t, s.URL, func(cfg *pgxpool.Config) {
		// What is named before pg_catalog is found before it.
		cfg.ConnConfig.RuntimeParams["search_path"] = "fake,pg_catalog,public"
	})
	s.clock = store.NewClock(pool, func() time.Time { return time.Now().Add(time.Duration(s.process.Load())) })
	return s
}

func (s *skewed) now() time.Time {
	s.Helper()
	now, err := s.clock.Now(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return now
}

func (s *skewed) database() time.Time {
	s.Helper()
	var now time.Time
	if err := s.Pool.QueryRow(s.Context(), `SELECT clock_timestamp()`).Scan(&now); err != nil {
		s.Fatal(err)
	}
	return now
}

// ages makes the latest measurement too old.
func (s *skewed) ages() { s.process.Add(int64(6 * time.Second)) }

func (s *skewed) asked() int {
	return s.Count(`SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM fake.asked`)
}

// Two processes, one of them 25 hours ahead and one 25 hours behind, agree about the time.
func TestOursAWrongClockDoesNotChangeTheTime(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]time.Duration{"ahead": 25 * time.Hour, "behind": -25 * time.Hour, "right": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupSkewed(t)
			s.process.Store(int64(wrong))
			before, began := s.database(), time.Now()
			now := s.now()
			after, took := s.database(), time.Since(began)
			// Never earlier than the database's time, and at most a round trip later.
			if now.Before(before) || now.After(after.Add(took)) {
				t.Errorf("the time is %s, the database's was %s before and %s after", now, before, after)
			}
			if again := s.now(); again.Before(now) {
				t.Errorf("the time went back from %s to %s", now, again)
			}
		})
	}
}

func TestTheClockIsMeasuredOnceForAll(t *testing.T) {
	t.Parallel()
	s := setupSkewed(t)
	together := func() {
		var asking sync.WaitGroup
		for range 50 {
			asking.Go(func() { s.now() })
		}
		asking.Wait()
	}
	s.now()
	if n := s.asked(); n != 1 {
		t.Errorf("the database was asked %d times, want once", n)
	}
	s.ages()
	before := s.asked()
	together()
	// A busy machine may take five seconds for this, and then it is right to ask again.
	if n := s.asked() - before; n < 1 || n >= 50 {
		t.Errorf("50 callers asked the database %d times", n)
	}
}

func TestOursTheClockNeverGoesBackAndTakesJumpsForward(t *testing.T) {
	t.Parallel()
	s := setupSkewed(t)
	first := s.now()
	for _, step := range []struct {
		name, skew string
		// jump is how much further the time goes than the process's clock, at least and at most.
		least, most time.Duration
	}{
		{"a failover to a server a little behind", "-3 s", 0, time.Hour},
		{"a failover to a server far behind", "-1 hour", 0, 50 * time.Minute},
		{"a failover to a server ahead", "+2 hours", 119 * time.Minute, 3 * time.Hour},
		{"and back", "0", 0, 50 * time.Minute},
	} {
		s.Exec(`UPDATE fake.skew SET by = $1::text::interval`, step.skew)
		s.ages()
		second := s.now()
		if ran := second.Sub(first); ran < step.least || ran > step.most {
			t.Errorf("%s: the time went from %s to %s", step.name, first, second)
		}
		first = second
	}
	// It runs on, rather than standing still until the database comes after it.
	s.process.Add(int64(4 * time.Second))
	if second := s.now(); second.Sub(first) < 4*time.Second {
		t.Errorf("the time stands still at %s", second)
	}
}

func TestTheClockNeedsTheDatabase(t *testing.T) {
	t.Parallel()
	s := setupSkewed(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.clock.Now(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that is gone: %v", err)
	}
	s.now()
	s.Exec(`DROP FUNCTION fake.clock_timestamp()`)
	s.Exec(`CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$`)
	s.ages()
	if now, err := s.clock.Now(t.Context()); err == nil {
		t.Errorf("the time is %s although the database does not say it", now)
	}
}
