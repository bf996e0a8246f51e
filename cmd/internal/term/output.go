package term

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/seed-384b1f8a/tender/messages"
)

// Table writes rows in columns. Nothing is written before Flush.
type Table struct{ w *tabwriter.Writer }

// NewTable begins a table with its heading.
func NewTable(w io.Writer, heading ...string) Table {
	t := Table{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	t.Row(heading...)
	return t
}

// Row adds a row. It shows an empty cell as a dash, so that columns stay columns.
func (t Table) Row(cells ...string) {
	for i, cell := range cells {
		if cells[i] = Printable(cell); cell == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// Flush writes the table.
func (t Table) Flush() error {
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// Facts writes names and values, one pair to a line. Nothing is written before Flush.
type Facts struct{ w *tabwriter.Writer }

// NewFacts begins a list of facts.
func NewFacts(w io.Writer) Facts { return Facts{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)} }

// Add adds a pair, or nothing if the value is empty.
func (f Facts) Add(name, value string) {
	if value != "" {
		fmt.Fprintf(f.w, "%s\t%s\n", name, Printable(value))
	}
}

// Flush writes the list.
func (f Facts) Flush() error { return Table(f).Flush() }

// Amount formats minor units for people.
func Amount(minor int64, currency string) string { return messages.FormatMinor(minor, currency) }

// SomeAmount is [Amount], and "" for zero.
func SomeAmount(minor int64, currency string) string {
	if minor == 0 {
		return ""
	}
	return Amount(minor, currency)
}

// Moment formats a time in UTC to the second. The zero time is "".
func Moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// Printable replaces the characters that a terminal might obey: any producer may put text on the
// bus.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

// IsTerminal reports whether the writer is a terminal that takes escape sequences and shows more
// than ASCII.
func IsTerminal(w io.Writer, environ []string) bool {
	file, ok := w.(*os.File)
	if !ok || Lookup(environ, "TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
