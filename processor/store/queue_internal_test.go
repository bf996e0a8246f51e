package store

import (
	"errors"
	"slices"
	"testing"
)

// request is what the tests put into queues.
type request struct {
	name string
	key  []string
	size int
}

func newTestQueue(batchMax, sizeMax int) *queue[*request] {
	return newQueue(batchMax, sizeMax,
		func(r *request) []string { return r.key }, func(r *request) int { return r.size })
}

func (q *queue[T]) mustAdd(t *testing.T, requests ...T) {
	t.Helper()
	for _, r := range requests {
		if err := q.add(r); err != nil {
			t.Fatal(err)
		}
	}
}

func wantBatch(t *testing.T, got []*request, names ...string) {
	t.Helper()
	var taken []string
	for _, r := range got {
		taken = append(taken, r.name)
	}
	if !slices.Equal(taken, names) {
		t.Errorf("took %v, want %v", taken, names)
	}
}

func TestRequestsWithACommonKeyAreNeverTakenTogether(t *testing.T) {
	t.Parallel()
	q := newTestQueue(10, 100)
	q.mustAdd(t,
		&request{name: "a", key: []string{"p1", "k1"}},
		&request{name: "b", key: []string{"p1", "k2"}},
		&request{name: "c", key: []string{"p2", "k1"}},
		&request{name: "d", key: []string{"p3", "k3"}},
		&request{name: "e", key: []string{"p1", "k4"}})
	first := q.take()
	wantBatch(t, first, "a", "d")
	q.mustAdd(t, &request{name: "f", key: []string{"p4"}})
	second := q.take()
	wantBatch(t, second, "f") // the others still wait for a
	q.release(first)
	third := q.take()
	wantBatch(t, third, "b", "c")
	q.release(third)
	wantBatch(t, q.take(), "e")
}

func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	q := newTestQueue(3, 100)
	for _, name := range []string{"a", "b", "c", "d"} {
		q.mustAdd(t, &request{name: name, size: 10})
	}
	q.mustAdd(t, &request{name: "huge", size: 1000}, &request{name: "e", size: 60}, &request{name: "f", size: 50})
	wantBatch(t, q.take(), "a", "b", "c")
	wantBatch(t, q.take(), "d", "e") // what is too large now doesn't hold up what is small
	wantBatch(t, q.take(), "huge")   // it goes alone, but it goes
	wantBatch(t, q.take(), "f")
}

func TestDroppedRequestIsNotTaken(t *testing.T) {
	t.Parallel()
	q := newTestQueue(10, 100)
	a, b := &request{name: "a"}, &request{name: "b"}
	q.mustAdd(t, a, b)
	if !q.drop(a) {
		t.Error("a waiting request could not be dropped")
	}
	wantBatch(t, q.take(), "b")
	if q.drop(b) {
		t.Error("a taken request was dropped")
	}
}

func TestClosedQueueIsEmptiedFirst(t *testing.T) {
	t.Parallel()
	q := newTestQueue(10, 100)
	q.mustAdd(t, &request{name: "a", key: []string{"p"}}, &request{name: "b", key: []string{"p"}})
	q.close()
	if err := q.add(&request{}); !errors.Is(err, ErrClosed) {
		t.Errorf("add: %v, want ErrClosed", err)
	}
	first := q.take()
	wantBatch(t, first, "a")
	rest := make(chan []*request)
	go func() { rest <- q.take(); rest <- q.take() }()
	q.release(first)
	second := <-rest
	wantBatch(t, second, "b")
	q.release(second)
	wantBatch(t, <-rest)
}

func TestFewRequestsWaitForTheBatchUnderWay(t *testing.T) {
	t.Parallel()
	q := newTestQueue(10, 100)
	q.besideLeast = 3
	q.mustAdd(t, &request{name: "a"})
	first := q.take()
	q.mustAdd(t, &request{name: "b"}, &request{name: "c"})
	q.mu.Lock()
	q.overdue = false // as if no time passed
	if batch := q.gather(); batch != nil {
		t.Errorf("%d requests are taken beside a batch", len(batch))
	}
	q.mu.Unlock()
	q.mustAdd(t, &request{name: "d"})
	wantBatch(t, q.take(), "b", "c", "d")
	q.mustAdd(t, &request{name: "e"})
	q.release(first)
	wantBatch(t, q.take(), "e") // once the batch of three has been under way for too long
}
