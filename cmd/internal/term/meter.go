package term

import (
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// ProgressInterval is the time between two lines of progress where there is no terminal to show it
// on.
const ProgressInterval = 10 * time.Second

// repaintInterval is the time between two repaints of a terminal.
const repaintInterval = 100 * time.Millisecond

// Meter shows the progress of a long command on standard error: in one line of a terminal that it
// repaints, elsewhere as a line every [ProgressInterval]. With --quiet it shows nothing.
type Meter struct {
	env        *Env
	onTerminal bool
	pass       string
	began      time.Time // of the pass
	last       time.Time // of any update
	shown      time.Time // of the last update that was shown
}

// NewMeter begins to measure.
func (e *Env) NewMeter() *Meter {
	now := e.Now()
	return &Meter{env: e, onTerminal: IsTerminal(e.Stderr, e.Environ), last: now, shown: now}
}

// Update takes a new count. Calls must not overlap.
func (m *Meter) Update(n books.Progress) {
	if m.env.Quiet {
		return
	}
	now := m.env.Now()
	if n.Pass != m.pass {
		m.pass, m.began = n.Pass, m.last
	}
	m.last = now
	interval := ProgressInterval
	if m.onTerminal {
		interval = repaintInterval
	}
	if now.Sub(m.shown) < interval {
		return
	}
	m.shown = now
	text := progressText(n, now.Sub(m.began))
	if m.onTerminal {
		fmt.Fprintf(m.env.Stderr, "\r%s\x1b[K", text)
	} else {
		fmt.Fprintln(m.env.Stderr, text)
	}
}

// Clear removes the line from a terminal, so that other output can follow.
func (m *Meter) Clear() {
	if m.onTerminal && !m.env.Quiet {
		fmt.Fprint(m.env.Stderr, "\r\x1b[K")
	}
}

// progressText describes the progress of a pass that this run has worked on for the time taken.
func progressText(n books.Progress, taken time.Duration) string {
	unit := n.Unit
	if n.Pass != n.Unit {
		unit += " (" + n.Pass + ")"
	}
	text := fmt.Sprintf("%d of %d %s", n.Done, n.Total, unit)
	fresh := n.Done - n.Resumed
	if taken < time.Second || fresh <= 0 {
		return text
	}
	perSecond := float64(fresh) / taken.Seconds()
	text += fmt.Sprintf(", %.0f/s", perSecond)
	if left := n.Total - n.Done; left > 0 {
		text += fmt.Sprintf(", %s left", time.Duration(float64(left)/perSecond)*time.Second)
	}
	return text
}
