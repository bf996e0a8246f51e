package store

import (
	"slices"
	"sync"
	"time"
)

// queue gathers requests until a committer has time for them. T is a pointer, so that requests can
// be told apart.
//
// A request may name keys. No two requests with a key in common are ever taken at a time: the later
// one waits until the earlier one is released, however many others overtake it.
type queue[T comparable] struct {
	batchMax int
	// besideLeast is how many requests have to wait for a batch to be taken beside another: a batch
	// costs as much as many requests in it. It counts for besideAfter; a batch that is held up must
	// not hold up the others.
	besideLeast int
	// sizeMax bounds the sum of the sizes in a batch; a single larger request makes a batch of its
	// own.
	sizeMax int
	keys    func(T) []string
	size    func(T) int

	mu      sync.Mutex
	changed sync.Cond // something was added or released, or the queue was closed
	waiting []T
	taken   map[string]struct{} // the keys of the requests that were taken and not yet released
	closed  bool
	batches int         // taken and not yet released
	alarm   *time.Timer // of the latest of them
	overdue bool        // it went off
}

// besideAfter is some times what a batch takes.
const besideAfter = 20 * time.Millisecond

func newQueue[T comparable](batchMax, sizeMax int, keys func(T) []string, size func(T) int) *queue[T] {
	q := &queue[T]{batchMax: batchMax, sizeMax: sizeMax, keys: keys, size: size, taken: map[string]struct{}{}}
	q.changed.L = &q.mu
	return q
}

// add appends a request, or returns ErrClosed.
func (q *queue[T]) add(r T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.waiting = append(q.waiting, r)
	q.changed.Signal()
	return nil
}

// drop removes a request whose caller no longer waits; false if it was taken already.
func (q *queue[T]) drop(r T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, r)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	q.changed.Broadcast()
	return true
}

// take blocks until there is something to do and returns it, oldest first; nil once the queue is
// closed and empty. What was taken must be released.
func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if batch := q.gather(); len(batch) > 0 {
			q.batches++
			q.watch()
			return batch
		}
		if q.closed && len(q.waiting) == 0 {
			return nil
		}
		q.changed.Wait()
	}
}

// gather moves what can be taken now out of the queue.
func (q *queue[T]) gather() []T {
	if q.waits() {
		return nil
	}
	var batch []T
	size, kept := 0, 0
	for i, r := range q.waiting {
		if len(batch) == q.batchMax {
			kept += copy(q.waiting[kept:], q.waiting[i:])
			break
		}
		full := len(batch) > 0 && size+q.size(r) > q.sizeMax
		if full || !q.free(q.keys(r)) {
			q.waiting[kept] = r
			kept++
			continue
		}
		for _, key := range q.keys(r) {
			q.taken[key] = struct{}{}
		}
		batch, size = append(batch, r), size+q.size(r)
	}
	clear(q.waiting[kept:])
	q.waiting = q.waiting[:kept]
	return batch
}

// waits reports whether what is in the queue is to wait for a batch that was taken.
func (q *queue[T]) waits() bool {
	return q.batches > 0 && !q.overdue && len(q.waiting) < q.besideLeast
}

// watch sees to it that nothing waits for a batch for too long.
func (q *queue[T]) watch() {
	q.overdue = false
	switch {
	case q.besideLeast == 0:
	case q.alarm == nil:
		q.alarm = time.AfterFunc(besideAfter, q.ring)
	default:
		q.alarm.Reset(besideAfter)
	}
}

func (q *queue[T]) ring() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.overdue = true
	q.changed.Broadcast()
}

func (q *queue[T]) free(keys []string) bool {
	for _, key := range keys {
		if _, taken := q.taken[key]; taken {
			return false
		}
	}
	return true
}

// release lets those go on that wait for one of the batch's keys.
func (q *queue[T]) release(batch []T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batches--
	for _, r := range batch {
		for _, key := range q.keys(r) {
			delete(q.taken, key)
		}
	}
	if len(q.waiting) > 0 || q.closed {
		q.changed.Broadcast()
	}
}

// close refuses what comes from now on; what is in the queue is still taken.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}
