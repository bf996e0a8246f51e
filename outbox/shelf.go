package outbox

import (
	"cmp"
	"slices"
	"sync"
)

const (
	// shelfMax is the number of rows held for a lane that does not keep up. The lane reads the rest
	// from the table.
	shelfMax = 8000
	// rememberMax is the number of ordering keys, and of rows that were read, that half of a lane's
	// memory holds.
	rememberMax = 32_000
)

// shelf holds rows for a lane that its own process appended and that it need not read from the
// table. All of them are in the table as well, and the lane reads from there the rows that left the
// shelf unpublished or never got onto it.
//
// A row gets onto the shelf only if the lane published every row before it in its key, or has it on
// the shelf. A read from the table is a stretch of a key without gaps as well, since it takes the
// rows with the lowest ids. So the two together, in the order of their ids, keep the order of every
// key.
type shelf struct {
	mu   sync.Mutex
	rows []row // in the order in which they were offered
	// upto holds the position of each key up to which the lane published everything or has it on
	// the shelf.
	upto memory[string, int64]
	// barred are keys of which a row was refused.
	barred memory[string, struct{}]
	// read are the rows that were read from the table a while ago, by their ids.
	read memory[int64, struct{}]
	// unoffered counts rows of the last reading that no local commit had offered.
	unoffered int
}

// offer takes the rows of a stretch if they follow the rows that the lane has.
func (s *shelf) offer(stretch *Stretch, rows []row) (taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, barred := s.barred.get(stretch.Key); barred {
		return false
	}
	if upto, known := s.upto.get(stretch.Key); stretch.After != 0 && (!known || upto != stretch.After) {
		return false
	}
	if len(s.rows)+len(rows) > shelfMax {
		return false
	}
	s.upto.put(stretch.Key, stretch.Upto)
	for i := range rows {
		if _, read := s.read.get(rows[i].id); read {
			s.unoffered-- // it was read before it was offered
			continue
		}
		s.rows = append(s.rows, rows[i])
	}
	return true
}

// take merges rows that were read from the table with those on the shelf: all of these if any row
// was read, since they may hold a row of the same key, and otherwise at most limit of them. The
// result is in the order of ids, or of offers. offered counts the rows that come from the shelf
// alone.
func (s *shelf) take(found []row, limit int) (rows []row, offered int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unoffered += len(found)
	for i := range found {
		s.read.put(found[i].id, struct{}{})
	}
	if len(found) == 0 {
		n := min(limit, len(s.rows))
		rows = slices.Clone(s.rows[:n])
		s.rows = slices.Delete(s.rows, 0, n)
		return rows, n
	}
	for i := range s.rows {
		if _, read := s.read.get(s.rows[i].id); read {
			s.unoffered--
			continue
		}
		found = append(found, s.rows[i])
		offered++
	}
	s.rows = slices.Delete(s.rows, 0, len(s.rows))
	slices.SortFunc(found, func(a, b row) int { return cmp.Compare(a.id, b.id) })
	return found, offered
}

// missing returns the rows that are not on the shelf.
func (s *shelf) missing(rows []row) []row {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(map[int64]struct{}, len(s.rows))
	for i := range s.rows {
		held[s.rows[i].id] = struct{}{}
	}
	return slices.DeleteFunc(rows, func(r row) bool {
		_, has := held[r.id]
		return has
	})
}

// unofferedRows counts rows read from the table that no local commit had offered since the last
// call.
func (s *shelf) unofferedRows() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.unoffered
	s.unoffered = 0
	return n
}

// bar leaves a key to the table from now on.
func (s *shelf) bar(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barred.put(key, struct{}{})
	s.rows = slices.DeleteFunc(s.rows, func(r row) bool { return r.OrderingKey == key })
}

// clear empties the shelf: the lane reads its rows from the table.
func (s *shelf) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows, s.upto, s.read = nil, memory[string, int64]{}, memory[int64, struct{}]{}
}

// memory is a map that forgets entries that were not put in a while.
type memory[K comparable, V any] struct{ recent, before map[K]V }

func (m *memory[K, V]) get(key K) (V, bool) {
	if value, ok := m.recent[key]; ok {
		return value, true
	}
	value, ok := m.before[key]
	return value, ok
}

func (m *memory[K, V]) put(key K, value V) {
	if len(m.recent) >= rememberMax || m.recent == nil {
		m.before, m.recent = m.recent, make(map[K]V)
	}
	m.recent[key] = value
}
