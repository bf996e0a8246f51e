package outbox

import (
	"cmp"
	"slices"
	"sync"
)

const (
	// shelfMax is how many rows are held for a lane that does not keep up. The rest is read from the table.
	shelfMax = 8000
	// rememberMax is how many ordering keys, and how many rows that were read, half of a lane's memory holds.
	rememberMax = 32_000
)

// shelf holds rows for a lane that were appended by its own process and need not be read from the table. All of them are in
// the table as well, and whatever is taken off the shelf unpublished, or never got onto it, is read from there.
//
// A row gets onto the shelf only if everything that precedes it in its key was published by the lane or is on the shelf. Read
// from the table is always a stretch of a key without gaps as well, since it holds the rows with the lowest ids: so the two
// together, in the order of their ids, keep the order of every key.
type shelf struct {
	mu   sync.Mutex
	rows []row // in the order in which they were offered
	// upto says up to which position everything of a key was published by the lane or is on the shelf.
	upto memory[string, int64]
	// barred are keys of which a row was refused.
	barred memory[string, struct{}]
	// read are the rows that were read from the table a while ago, by their ids.
	read memory[int64, struct{}]
	// foreign is how many rows of the last reading nobody offered.
	foreign int
}

// offer takes the rows of a stretch if they follow what the lane has.
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
			s.foreign-- // it was read before it was offered
			continue
		}
		s.rows = append(s.rows, rows[i])
	}
	return true
}

// take merges what was read from the table with what is on the shelf: all of that if anything was read, since something of a
// key that was read may be there, and otherwise at most limit rows. They are in the order of their ids, or of their offers. It
// says how many come from the shelf alone.
func (s *shelf) take(found []row, limit int) (rows []row, offered int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.foreign += len(found)
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
			s.foreign--
			continue
		}
		found = append(found, s.rows[i])
		offered++
	}
	s.rows = slices.Delete(s.rows, 0, len(s.rows))
	slices.SortFunc(found, func(a, b row) int { return cmp.Compare(a.id, b.id) })
	return found, offered
}

// missing are those of rows that are not on the shelf.
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

// foreigners is how many rows of the readings since the last call were not offered by anybody.
func (s *shelf) foreigners() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.foreign
	s.foreign = 0
	return n
}

// bar leaves a key to the table from now on.
func (s *shelf) bar(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barred.put(key, struct{}{})
	s.rows = slices.DeleteFunc(s.rows, func(r row) bool { return r.OrderingKey == key })
}

// clear leaves everything there is to the table.
func (s *shelf) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows, s.upto, s.read = nil, memory[string, int64]{}, memory[int64, struct{}]{}
}

// memory is a map that forgets what was not asked for in a while.
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
