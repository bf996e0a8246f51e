package republish

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// Events are named by one letter and happen a minute apart; a capital letter on the bus was
// published just now.
func TestDecide(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(version int) time.Time { return begin.Add(time.Duration(version) * time.Minute) }
	for _, c := range []struct {
		name         string
		bus, waiting string
		choice       choice
		want         plan
	}{
		{name: "in order", bus: "abcde"},
		{name: "in order, some on their way", bus: "abc", waiting: "de"},
		{name: "nothing there", want: plan{from: 1, missing: 5, again: 5}},
		{name: "the end is missing", bus: "abc", want: plan{from: 4, missing: 2, again: 2}},
		{name: "the middle is missing", bus: "abe", want: plan{from: 3, missing: 2, again: 3}},
		{name: "the middle is missing and the end just came", bus: "abE", want: plan{from: 3, missing: 2, again: 3, reason: ReasonRecent}},
		{name: "the middle is missing and the end waits", bus: "ab", waiting: "e", want: plan{from: 3, missing: 2, again: 3}},
		{name: "the middle came behind the end", bus: "abecd", want: plan{from: 5, again: 1}},
		{name: "the middle just came behind the end", bus: "abeCD", want: plan{from: 5, again: 1}},
		{name: "the end was repeated behind it", bus: "abecde"},
		{name: "its repetition waits", bus: "abecd", waiting: "e"},
		{name: "its repetition will be dropped", bus: "abEcd", waiting: "e", want: plan{from: 5, again: 1, reason: ReasonRecent}},
		{name: "a batch twice", bus: "abcabcde"},
		{name: "what is older than asked is not missing", bus: "cde", choice: choice{since: at(3)}},
		{name: "from a time on", bus: "ad", choice: choice{since: at(3)}, want: plan{from: 3, missing: 2, again: 3}},
		{name: "up to a time", bus: "abc", choice: choice{until: at(4)}},
		{name: "up to a time, and what is newer goes behind", bus: "abd", choice: choice{until: at(4)}, want: plan{from: 3, missing: 1, again: 3}},
		{name: "all", bus: "abcde", choice: choice{all: true}, want: plan{from: 1, again: 5}},
		{name: "all of a time", bus: "abcde", choice: choice{all: true, since: at(2), until: at(3)}, want: plan{from: 2, again: 4}},
		{name: "all, again and again", bus: "abcdE", choice: choice{all: true}, want: plan{from: 1, again: 5, reason: ReasonRecent}},
		{name: "parked", bus: "ab", waiting: "!d", want: plan{from: 3, missing: 2, again: 3, reason: ReasonParked}},
		{name: "parked and nothing missing", bus: "abc", waiting: "!de"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var p books.Published
			for v := 1; v <= 5; v++ {
				p.Events = append(p.Events, books.PublishedEvent{
					Version: int64(v), OccurredAt: at(v), Message: outbox.Message{ID: string(rune('a' + v - 1))},
				})
			}
			waiting, parked := strings.CutPrefix(c.waiting, "!")
			for i, id := range waiting {
				p.Queued = append(p.Queued, outbox.Queued{MessageID: string(id), Parked: parked && i == 0})
			}
			var bus []onBus
			for _, id := range c.bus {
				name := strings.ToLower(string(id))
				bus = append(bus, onBus{id: name, recent: name != string(id)})
			}
			if got := c.choice.decide(p, bus); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
	unreadable := books.Published{Unreadable: errors.New("from the future")}
	if got := (choice{}).decide(unreadable, nil); got != (plan{reason: ReasonUnreadable}) {
		t.Errorf("%+v", got)
	}
}
