package main

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
)

// progress prints a line for each thing that is done.
type progress struct {
	w       io.Writer
	yes, no string
}

// newProgress prints on standard error, and nothing with --quiet.
func newProgress(e *term.Env) progress {
	if e.Quiet {
		return progress{w: io.Discard}
	}
	yes, no := marks(e.Stderr, e.Environ)
	return progress{w: e.Stderr, yes: yes, no: no}
}

// marks are the marks before a success and before a failure: plain ASCII unless the writer is a
// terminal.
func marks(w io.Writer, environ []string) (yes, no string) {
	if term.IsTerminal(w, environ) {
		return "✓", "✗"
	}
	return "ok", "NO"
}

func (p progress) done(format string, args ...any) {
	fmt.Fprintf(p.w, "%s  %s\n", p.yes, fmt.Sprintf(format, args...))
}

func (p progress) failed(format string, args ...any) {
	fmt.Fprintf(p.w, "%s  %s\n", p.no, fmt.Sprintf(format, args...))
}

// follow returns a function to call with every story that is over: it prints a scenario after the
// last of its payments. It must not be called concurrently.
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

// recentLines keeps the end of a log, to show it after a failure. It may be written to
// concurrently.
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

// show writes the lines kept.
func (r *recentLines) show(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.lines {
		fmt.Fprintln(w, "  "+line)
	}
}
