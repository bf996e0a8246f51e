package main

import (
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// progressEvery is how often progress is told where there is no terminal to show it on; progressTick how often a terminal
// is repainted.
const (
	progressEvery = 10 * time.Second
	progressTick  = 100 * time.Millisecond
)

// meter shows how far a long command is: in one line of a terminal, elsewhere as a line now and then.
type meter struct {
	c          *cli
	onTerminal bool
	pass       string
	began      time.Time // of the pass
	last, told time.Time // of any update, and of one that was shown
}

func (c *cli) newMeter() *meter {
	now := c.now()
	return &meter{c: c, onTerminal: fancy(c.stderr, c.environ), last: now, told: now}
}

// update takes a new count. Calls must not overlap.
func (p *meter) update(n books.Progress) {
	if p.c.quiet {
		return
	}
	now := p.c.now()
	if n.Pass != p.pass {
		p.pass, p.began = n.Pass, p.last
	}
	p.last = now
	every := progressEvery
	if p.onTerminal {
		every = progressTick
	}
	if now.Sub(p.told) < every {
		return
	}
	p.told = now
	text := progressText(n, now.Sub(p.began))
	if p.onTerminal {
		fmt.Fprintf(p.c.stderr, "\r%s\x1b[K", text)
	} else {
		fmt.Fprintln(p.c.stderr, text)
	}
}

// clear makes room for what comes after.
func (p *meter) clear() {
	if p.onTerminal && !p.c.quiet {
		fmt.Fprint(p.c.stderr, "\r\x1b[K")
	}
}

// progressText says how far a pass is that this run has been at for so long.
func progressText(n books.Progress, taken time.Duration) string {
	what := n.Unit
	if n.Pass != n.Unit {
		what += " (" + n.Pass + ")"
	}
	text := fmt.Sprintf("%d of %d %s", n.Done, n.Total, what)
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
