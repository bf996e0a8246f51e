package status

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// staleAfter is when an instance that has not been heard of is taken to have gone: it has missed two heartbeats, and the third is late.
const staleAfter = 3 * HeartbeatDefault

// Board keeps the latest report on each gateway from each instance. The zero Board is empty. It is used by one goroutine at a time.
type Board struct {
	heard map[place]entry
}

type place struct{ gateway, instance string }

type entry struct {
	report Report
	at     time.Time
}

// Put takes in a report that was heard at that moment, by the listener's own clock: those of the instances may differ.
func (b *Board) Put(r Report, heard time.Time) {
	if b.heard == nil {
		b.heard = make(map[place]entry)
	}
	b.heard[place{r.Gateway, r.Instance}] = entry{r, heard}
}

// Reports returns what is known, sorted by gateway and instance, and forgets instances that have not been heard of for three
// heartbeats.
func (b *Board) Reports(now time.Time) []Report {
	maps.DeleteFunc(b.heard, func(_ place, e entry) bool { return now.Sub(e.at) > staleAfter })
	reports := make([]Report, 0, len(b.heard))
	for _, e := range b.heard {
		reports = append(reports, e.report)
	}
	slices.SortFunc(reports, func(x, y Report) int {
		return cmp.Or(cmp.Compare(x.Gateway, y.Gateway), cmp.Compare(x.Instance, y.Instance))
	})
	return reports
}
