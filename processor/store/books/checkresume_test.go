package books_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// saver keeps what was saved last, as a file would, and cuts the check short when it has saved so
// often.
type saver struct {
	left  int
	saved []byte
}

var errCut = errors.New("cut short by the test")

func (s *saver) save(state *books.CheckState) error {
	var err error
	if s.saved, err = json.Marshal(state); err != nil {
		return err
	}
	if s.left--; s.left == 0 {
		return errCut
	}
	return nil
}

func (s *saver) state(t *testing.T) *books.CheckState {
	t.Helper()
	if s.saved == nil {
		return nil
	}
	state := &books.CheckState{}
	if err := json.Unmarshal(s.saved, state); err != nil {
		t.Fatal(err)
	}
	return state
}

// A check that is cut short after any of its pieces and goes on finds exactly what one that isn't
// does.
func TestCheckGoesOnWhereItWasCutShort(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(2300) // five pieces of payments, three of claims
	b.Sample()
	b.Exec(`UPDATE payments SET currency = 'EUR' WHERE payment_id IN (SELECT p.payment_id FROM payments p ORDER BY p.payment_id OFFSET 700 LIMIT 3)`)
	b.Exec(`UPDATE commands SET version = 99 WHERE payment_id IN (SELECT p.payment_id FROM payments p ORDER BY p.payment_id OFFSET 1700 LIMIT 3)`)
	o := books.CheckOptions{Now: start(), Workers: 3, FindingsMax: 1000}
	want, err := books.CheckInvariants(t.Context(), b.Serving, o)
	if err != nil || len(want.Findings) < 6 {
		t.Fatalf("found %+v, %v", want.Findings, err)
	}
	var s saver
	runs := 0
	for every := 1; ; every++ {
		runs++
		s.left = every
		o.Resume, o.Save = s.state(t), s.save
		got, err := books.CheckInvariants(t.Context(), b.Serving, o)
		if errors.Is(err, errCut) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(books.Report{}, "Snapshots"), cmpopts.SortSlices(func(a, b books.Finding) bool {
			return a.PaymentID.String()+a.Detail < b.PaymentID.String()+b.Detail
		})); diff != "" {
			t.Errorf("after %d runs (-whole +resumed):\n%s", runs, diff)
		}
		if len(got.Snapshots) != runs || runs < 3 {
			t.Errorf("%d moments are reported, want %d", len(got.Snapshots), runs)
		}
		return
	}
}

func TestProgressOfAnotherCheckIsRefused(t *testing.T) {
	t.Parallel()
	b, other := setup(t), setup(t)
	var s saver
	o := books.CheckOptions{Now: start(), Save: s.save}
	if _, err := books.CheckInvariants(t.Context(), b.Serving, o); err != nil {
		t.Fatal(err)
	}
	o.Resume = s.state(t)
	if _, err := books.CheckInvariants(t.Context(), b.Serving, o); err != nil {
		t.Errorf("the same database: %v", err)
	}
	if _, err := books.CheckInvariants(t.Context(), other.Serving, o); !errors.Is(err, books.ErrOtherCheck) {
		t.Errorf("another database: %v", err)
	}
	o.StaleAfter = time.Hour
	if _, err := books.CheckInvariants(t.Context(), b.Serving, o); !errors.Is(err, books.ErrOtherCheck) {
		t.Errorf("another age: %v", err)
	}
	o.StaleAfter, o.Resume.Format = 0, 99
	if _, err := books.CheckInvariants(t.Context(), b.Serving, o); !errors.Is(err, books.ErrOtherCheck) {
		t.Errorf("another format: %v", err)
	}
}

// Sessions that end under a check are told from a check that cannot be made, so that an operator
// may go on.
func TestCheckThatLosesItsConnectionIsRetryable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.CommitMany(1203)
	_, err := books.CheckInvariants(t.Context(), b.Serving, books.CheckOptions{Now: start(), Save: func(*books.CheckState) error {
		_, err := b.Pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND datname = current_database()`, servingRole)
		return err
	}})
	if !store.Retryable(err) {
		t.Errorf("got %v, want an error that is worth another try", err)
	}
}
