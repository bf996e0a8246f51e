package faulty_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

const insertSQL = "INSERT INTO word (word) SELECT unnest($1::text[])"

// words is a table reached over a faulty connection, and over a good one.
type words struct {
	t    *testing.T
	d    *faulty.Dialer
	url  string
	conn *pgx.Conn
	good *pgx.Conn
}

func newWords(t *testing.T) *words {
	t.Helper()
	w := &words{t: t, d: dialer(t), url: servers.Database(t)}
	w.good = w.connect(false)
	if _, err := w.good.Exec(t.Context(), "CREATE TABLE word (word text)"); err != nil {
		t.Fatal(err)
	}
	w.conn = w.connect(true)
	return w
}

func (w *words) connect(faulty bool) *pgx.Conn {
	w.t.Helper()
	config, err := pgx.ParseConfig(w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	if faulty {
		config.DialFunc = w.d.DialContext
	}
	conn, err := pgx.ConnectConfig(w.t.Context(), config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(w.t.Context())) })
	return conn
}

// batch writes in one round trip, as the store does.
func (w *words) batch(word string) error {
	var b pgx.Batch
	b.Queue("begin")
	b.Queue(insertSQL, []string{word})
	b.Queue("commit")
	return w.conn.SendBatch(w.t.Context(), &b).Close()
}

// transaction writes as pgx.BeginFunc does, with simple queries around.
func (w *words) transaction(word string) error {
	return pgx.BeginFunc(w.t.Context(), w.conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(w.t.Context(), insertSQL, []string{word})
		return err
	})
}

func (w *words) stored(word string) (there bool) {
	w.t.Helper()
	if err := w.good.QueryRow(w.t.Context(), "SELECT EXISTS (SELECT FROM word WHERE word = $1)", word).Scan(&there); err != nil {
		w.t.Fatal(err)
	}
	return there
}

func TestACommitIsCaughtByWhatItWrites(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*words, string) error{"batch": (*words).batch, "transaction": (*words).transaction} {
		for _, used := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				before := faulty.Trap{Match: faulty.CommitWith("payment.captured"), Drop: true}
				after := before
				after.Reply = faulty.Committed()
				for stored, trap := range map[bool]faulty.Trap{false: before, true: after} {
					w := newWords(t)
					if used { // its statements are prepared by then
						if err := write(w, "first"); err != nil {
							t.Fatal(err)
						}
					}
					a := w.d.Arm(trap)
					if err := write(w, "operation.sent"); err != nil {
						t.Fatalf("a commit of something else: %v", err)
					}
					if fired(a) {
						t.Fatal("sprang at the commit of something else")
					}
					if err := write(w, "payment.captured"); err == nil {
						t.Error("the commit came back without an error")
					}
					<-a.Fired()
					if got := w.stored("payment.captured"); got != stored {
						t.Errorf("stored: %v, want %v", got, stored)
					}
				}
			})
		}
	}
}

func TestARollbackIsNoCommit(t *testing.T) {
	t.Parallel()
	w := newWords(t)
	undone := errors.New("undone")
	a := w.d.Arm(faulty.Trap{Match: faulty.CommitWith("payment.captured")})
	err := pgx.BeginFunc(t.Context(), w.conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), insertSQL, []string{"payment.captured"})
		return errors.Join(err, undone)
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	for _, word := range []string{"operation.sent", "payment.authorized"} {
		if err := w.batch(word); err != nil {
			t.Fatal(err)
		}
	}
	if fired(a) {
		t.Error("sprang at the commit of something else")
	}
	if err := w.batch("payment.captured"); err != nil {
		t.Fatal(err)
	}
	<-a.Fired()
}

func TestAStatementIsCaughtWhenItIsExecuted(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeCacheDescribe} {
		w := newWords(t)
		caught := 0
		held := faulty.Trap{Match: faulty.Statement(insertSQL), Hold: true, Action: func() {
			caught++
			if w.stored(mode.String()) {
				t.Errorf("%s: executed before it was let through", mode)
			}
		}}
		for range 2 {
			a := w.d.Arm(held)
			if mode == pgx.QueryExecModeCacheStatement {
				if _, err := w.conn.Prepare(t.Context(), "by another name", insertSQL); err != nil {
					t.Fatal(err)
				}
				if fired(a) {
					t.Error("sprang when the statement was prepared")
				}
				if err := w.conn.Deallocate(t.Context(), "by another name"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.conn.Exec(t.Context(), insertSQL, mode, []string{mode.String()}); err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
			<-a.Fired()
			if !w.stored(mode.String()) {
				t.Errorf("%s: not executed", mode)
			}
			if _, err := w.good.Exec(t.Context(), "DELETE FROM word"); err != nil {
				t.Fatal(err)
			}
		}
		if caught != 2 {
			t.Errorf("%s: caught %d times, want 2", mode, caught)
		}
	}
}

func TestAStatementIsCaughtByAPartOfItsText(t *testing.T) {
	t.Parallel()
	w := newWords(t)
	a := w.d.Arm(faulty.Trap{Match: faulty.StatementWith("SELECT unnest("), Drop: true})
	w.conn = w.connect(true)
	var echoed string
	if err := w.conn.QueryRow(t.Context(), "SELECT $1::text", "SELECT unnest(").Scan(&echoed); err != nil {
		t.Fatal(err)
	}
	if fired(a) {
		t.Fatal("sprang at a parameter")
	}
	if err := w.batch("word"); err == nil {
		t.Error("the statement went through")
	}
	<-a.Fired()
	if w.stored("word") {
		t.Error("stored, though it was lost")
	}
}
