package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// eventsWidth is the width at which the list of events wraps.
const eventsWidth = 40

// printPayments shows the results for people: a row for each payment, with its steps below one
// another and next to each step its events.
func printPayments(w io.Writer, payments []paymentResult, yes, no string) {
	rows := [][6]string{{"", "PAYMENT", "ASKED", "STATUS, AMOUNTS", "CALLS", "EVENTS"}}
	for _, g := range alike(payments) {
		p, mark, calls := g.speaker(), yes, 0
		if len(p.Mismatches) > 0 {
			mark = no
		}
		for _, one := range g {
			calls += one.GatewayCalls
		}
		asked, events := p.dialogue()
		names, amounts := []string{p.Name, g.who()}, p.statusLines()
		marks, counts := []string{mark}, []string{fmt.Sprintf("%5d", calls)}
		for i := range max(len(names), len(amounts), len(asked)) {
			rows = append(rows, [6]string{
				line(marks, i), line(names, i), line(asked, i), line(amounts, i), line(counts, i), line(events, i),
			})
		}
	}
	// One width for each column of the whole table: package tabwriter aligns neighbouring lines
	// only.
	var widths [6]int
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		text := ""
		for i, cell := range row {
			text += fmt.Sprintf("%-*s  ", widths[i], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(text, " "))
	}
}

// group is the payments of one scenario.
type group []paymentResult

// alike groups neighbours of one scenario.
func alike(payments []paymentResult) []group {
	var groups []group
	for _, p := range payments {
		if last := len(groups) - 1; last >= 0 && groups[last][0].Name == p.Name {
			groups[last] = append(groups[last], p)
			continue
		}
		groups = append(groups, group{p})
	}
	return groups
}

// speaker is the payment shown for the group: the first that is not as expected, if there is one.
func (g group) speaker() paymentResult {
	if i := slices.IndexFunc(g, func(p paymentResult) bool { return len(p.Mismatches) > 0 }); i >= 0 {
		return g[i]
	}
	return g[0]
}

// who names the payments of the group.
func (g group) who() string {
	if len(g) == 1 {
		return shortID(g[0])
	}
	return fmt.Sprintf("%d payments", len(g))
}

// mismatches lists the differences, each with the number of payments that have it.
func (g group) mismatches() []string {
	var all []string
	times := map[string]int{}
	for _, p := range g {
		for _, mismatch := range p.Mismatches {
			if times[mismatch]++; times[mismatch] == 1 {
				all = append(all, mismatch)
			}
		}
	}
	for i, mismatch := range all {
		if n := times[mismatch]; n > 1 {
			all[i] = fmt.Sprintf("%s (%d of %d payments)", mismatch, n, len(g))
		}
	}
	return all
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// shortID is the end of the id: the beginning of a UUIDv7 is the time, and these payments share it.
func shortID(p paymentResult) string {
	id := p.PaymentID.String()
	return "..." + id[len(id)-8:]
}

// statusLines are the status and the amounts that are not zero.
func (p paymentResult) statusLines() []string {
	if p.Status == messages.StatusNone {
		return []string{"no payment"}
	}
	lines := []string{string(p.Status)}
	for _, amount := range []struct {
		name  string
		minor int64
	}{
		{"authorized", p.AuthorizedMinor}, {"captured", p.CapturedMinor}, {"released", p.ReleasedMinor}, {"refunded", p.RefundedMinor},
	} {
		if amount.minor != 0 {
			lines = append(lines, fmt.Sprintf("%-10s %8s", amount.name, messages.FormatDecimal(amount.minor, p.Exponent)))
		}
	}
	return lines
}

// dialogue returns the commands and their results, each result beginning on the line of its
// command.
func (p paymentResult) dialogue() (asked, events []string) {
	for _, step := range p.Steps {
		var answer []string
		for _, event := range step.Events {
			answer = append(answer, event.String())
		}
		switch {
		case step.DeadLetter != "":
			answer = []string{"dead letter: " + step.DeadLetter}
		case step.Duplicate:
			answer = []string{"dropped by JetStream"}
		case len(answer) == 0:
			answer = []string{"nothing more"}
		}
		lines := wrapped(answer)
		for i, text := range lines {
			asked = append(asked, line([]string{step.Asked}, i))
			events = append(events, text)
		}
	}
	return asked, events
}

// wrapped joins items with commas into lines of eventsWidth.
func wrapped(items []string) []string {
	lines := []string{items[0]}
	for _, item := range items[1:] {
		last := &lines[len(lines)-1]
		*last += ","
		if len(*last)+1+len(item) > eventsWidth {
			lines = append(lines, item)
			continue
		}
		*last += " " + item
	}
	return lines
}

// printBooks shows the differences, and the results of the gateways' ledgers and of the check of
// the event store.
func printBooks(w io.Writer, r demoReport, yes, no string) {
	for _, g := range alike(r.Payments) {
		for _, mismatch := range g.mismatches() {
			fmt.Fprintf(w, "%s  %s: %s\n", no, g[0].Name, mismatch)
		}
	}
	for _, g := range r.Gateways {
		for _, mismatch := range g.Mismatches {
			fmt.Fprintf(w, "%s  the ledger of %s: %s\n", no, g.Name, mismatch)
		}
	}
	if r.Outage != nil {
		for _, mismatch := range r.Outage.Mismatches {
			fmt.Fprintf(w, "%s  the outage of %s: %s\n", no, r.Outage.Gateway, mismatch)
		}
	}
	for _, f := range r.Verify.Findings {
		fmt.Fprintf(w, "%s  verify: %s: payment %s: %s\n", no, f.Invariant, f.PaymentID, f.Detail)
	}
	summary := func(good bool, format string, args ...any) {
		mark := yes
		if !good {
			mark = no
		}
		fmt.Fprintf(w, "%s  %s\n", mark, fmt.Sprintf(format, args...))
	}
	all := len(r.Payments)
	summary(r.asExpected() == all, "%d of %d are as expected, on the bus, in the event store and in the gateways' ledgers", r.asExpected(), all)
	if o := r.Outage; o != nil {
		summary(o.sound(), "%s was down: %d payments failed over, %d operations were parked; its breaker: %s", o.Gateway, o.FailedOver, o.Parked, o.states())
	}
	for _, g := range r.Gateways {
		summary(!g.unsound(), "the ledger of %s: %d calls, %d effects; operations that took effect twice: %d", g.Name, g.Calls, g.Effects, g.Twice)
	}
	summary(r.Verify.Clean(), "verify: %d payments, %d events, %d invariants; violations: %d",
		r.Verify.Payments, r.Verify.Events, len(r.Verify.Checked), violations(r.Verify))
	fmt.Fprintf(w, "\nDone in %d.%d s.\n", r.DurationMS/1000, r.DurationMS%1000/100)
}

func violations(r books.Report) int64 {
	var sum int64
	for _, n := range r.Violated {
		sum += n
	}
	return sum
}
