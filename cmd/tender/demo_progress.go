package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// progress says line by line what has been done, to somebody who waits.
type progress struct {
	w       io.Writer
	yes, no string
}

// newProgress speaks on standard error, and not at all with --quiet.
func (c *cli) newProgress() progress {
	if c.quiet {
		return progress{w: io.Discard}
	}
	yes, no := marks(c.stderr, c.environ)
	return progress{w: c.stderr, yes: yes, no: no}
}

// marks are what stands before a thing that went as it should, and before one that did not: plain ASCII unless they
// are shown on a terminal.
func marks(w io.Writer, environ []string) (yes, no string) {
	if fancy(w, environ) {
		return "✓", "✗"
	}
	return "ok", "NO"
}

// fancy reports whether the writer is a terminal that shows more than ASCII.
func fancy(w io.Writer, environ []string) bool {
	file, ok := w.(*os.File)
	if !ok || lookup(environ, "TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p progress) done(format string, args ...any) {
	fmt.Fprintf(p.w, "%s  %s\n", p.yes, fmt.Sprintf(format, args...))
}

func (p progress) failed(format string, args ...any) {
	fmt.Fprintf(p.w, "%s  %s\n", p.no, fmt.Sprintf(format, args...))
}

// follow returns what is to be called with every story that is over: it tells of a scenario when the last of its payments is. It
// must not be called concurrently.
func (p progress) follow(stories []*story) func(*story) {
	left, unanswered := map[string]int{}, map[string]int{}
	for _, told := range stories {
		left[told.name]++
	}
	return func(told *story) {
		left[told.name]--
		if told.unanswered() {
			unanswered[told.name]++
		}
		switch silent := unanswered[told.name]; {
		case left[told.name] > 0:
		case silent > 0 && told.times > 1:
			p.failed("%s: %d of %d payments were not answered", told.name, silent, told.times)
		case silent > 0:
			p.failed("%s: a command was not answered", told.name)
		case told.times > 1:
			p.done("%s: %d payments", told.name, told.times)
		default:
			p.done("%s", told.name)
		}
	}
}

// recentLines keeps the end of a log, for when something goes wrong. It may be written to concurrently.
type recentLines struct {
	mu    sync.Mutex
	lines []string
	max   int
}

// Write implements io.Writer.
func (r *recentLines) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	if surplus := len(r.lines) - r.max; surplus > 0 {
		r.lines = append(r.lines[:0], r.lines[surplus:]...)
	}
	return len(b), nil
}

// show writes what was kept.
func (r *recentLines) show(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.lines {
		fmt.Fprintln(w, "  "+line)
	}
}
