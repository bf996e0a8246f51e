package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/seed-384b1f8a/tender/messages"
)

// printJSON writes one value as one line.
func (c *cli) printJSON(v any) error {
	encoder := json.NewEncoder(c.stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// table writes rows in columns. The first row is the heading.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, heading ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	t.row(heading...)
	return t
}

// row adds a row; an empty cell is shown as a dash, so that columns stay columns.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		if cells[i] = printable(cell); cell == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t table) flush() error {
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// facts writes names and values, one pair to a line, without those that have no value.
type facts struct{ w *tabwriter.Writer }

func newFacts(w io.Writer) facts { return facts{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)} }

func (f facts) add(name, value string) {
	if value != "" {
		fmt.Fprintf(f.w, "%s\t%s\n", name, printable(value))
	}
}

func (f facts) flush() error { return table(f).flush() }

// amount formats minor units for people.
func amount(minor int64, currency string) string { return messages.FormatMinor(minor, currency) }

// someAmount is amount, and nothing for no money.
func someAmount(minor int64, currency string) string {
	if minor == 0 {
		return ""
	}
	return amount(minor, currency)
}

// moment formats a time in UTC to the second; the zero time is nothing.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// printable replaces what a terminal might obey. Text from the bus is anybody's.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}
