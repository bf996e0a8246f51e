package outbox

import (
	"slices"
	"testing"

	"go.uber.org/zap"
)

func shelved(key string, ids ...int64) []row {
	rows := make([]row, len(ids))
	for i, id := range ids {
		rows[i] = row{id: id, Message: Message{OrderingKey: key}}
	}
	return rows
}

func idsOf(rows []row) []int64 {
	ids := make([]int64, len(rows))
	for i := range rows {
		ids[i] = rows[i].id
	}
	return ids
}

func (s *shelf) wantTaken(t *testing.T, found []row, limit int, want ...int64) {
	t.Helper()
	if rows, _ := s.take(found, limit); !slices.Equal(idsOf(rows), want) {
		t.Errorf("rows %d are taken, want %d", idsOf(rows), want)
	}
}

func TestShelfMergesWhatWasReadAndOffered(t *testing.T) {
	t.Parallel()
	var s shelf
	s.offer(&Stretch{Key: "a", Upto: 2}, shelved("a", 11, 12))
	s.offer(&Stretch{Key: "b", Upto: 1}, shelved("b", 20))
	found := append(shelved("a", 11, 12), shelved("c", 15, 30)...)
	s.wantTaken(t, found, 100, 11, 12, 15, 20, 30)
	if n := s.unofferedRows(); n != 2 {
		t.Errorf("%d rows were not offered, want 2", n)
	}
	s.wantTaken(t, nil, 100)
	// Those of c were read before they were offered.
	if !s.offer(&Stretch{Key: "c", Upto: 1}, shelved("c", 15)) {
		t.Error("a stretch at the beginning of its key is refused")
	}
	s.wantTaken(t, nil, 100)
	s.offer(&Stretch{Key: "c", After: 1, Upto: 3}, shelved("c", 30, 40))
	s.wantTaken(t, nil, 100, 40)
}

func TestShelfTakesWhatFollows(t *testing.T) {
	t.Parallel()
	var s shelf
	for _, offer := range []struct {
		why         string
		key         string
		after, upto int64
		taken       bool
	}{
		{"the first of a", "a", 0, 2, true},
		{"it follows", "a", 2, 3, true},
		{"there is a gap", "a", 4, 5, false},
		{"there still is", "a", 5, 6, false},
		{"nothing is known of b", "b", 1, 2, false},
		{"the first of c", "c", 0, 1, true},
	} {
		if taken := s.offer(&Stretch{Key: offer.key, After: offer.after, Upto: offer.upto}, nil); taken != offer.taken {
			t.Errorf("taken: %t, though %s", taken, offer.why)
		}
	}
	s.bar("c")
	s.clear()
	if s.offer(&Stretch{Key: "a", After: 3, Upto: 4}, nil) {
		t.Error("a stretch is taken after those before it were left to the table")
	}
	for _, after := range []int64{0, 1} {
		if s.offer(&Stretch{Key: "c", After: after, Upto: after + 1}, nil) {
			t.Error("a stretch of a key that is barred is taken")
		}
	}
}

func TestShelfIsBounded(t *testing.T) {
	t.Parallel()
	var s shelf
	rows := shelved("a", slices.Repeat([]int64{1}, shelfMax)...)
	if !s.offer(&Stretch{Key: "a", Upto: 1}, rows) || s.offer(&Stretch{Key: "b", Upto: 1}, rows[:1]) {
		t.Error("more is taken than fits, or less")
	}
	if rows, offered := s.take(nil, 10); len(rows) != 10 || offered != 10 {
		t.Errorf("%d rows are taken, want 10", len(rows))
	}
	for id := range int64(2*rememberMax + 1) {
		s.read.put(id, struct{}{})
	}
	_, first := s.read.get(0)
	_, last := s.read.get(2 * rememberMax)
	if first || !last || len(s.read.recent)+len(s.read.before) > 2*rememberMax {
		t.Error("memory does not forget the oldest, or forgets the newest")
	}
}

// What follows a row that was not published, or that was refused, is read from the table like that
// row itself.
func TestALaneLeavesToTheTableWhatItDidNotPublish(t *testing.T) {
	t.Parallel()
	for name, become := range map[string]func(row) outcome{
		"not published": func(row) outcome { return outcome{} },
		"refused":       func(r row) outcome { return outcome{refused: []refusal{{row: r}}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLane(&Relay{log: zap.NewNop()}, nil, 0)
			l.shelf.offer(&Stretch{Key: "a", Upto: 1}, shelved("a", 1))
			l.shelf.offer(&Stretch{Key: "b", Upto: 1}, shelved("b", 2))
			rows, _ := l.shelf.take(nil, 10)
			done := become(rows[0])
			done.published = rows[1:]
			l.note(rows, done)
			if l.shelf.offer(&Stretch{Key: "a", After: 1, Upto: 2}, shelved("a", 3)) {
				t.Error("what follows it is published before it")
			}
			if len(done.refused) == 0 && !l.look.Load() {
				t.Error("the lane does not look at the table")
			}
		})
	}
}
