package routing

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mistake is one thing that is wrong with a rule set, and where.
type Mistake struct {
	// Line and Column count from 1; they are 0 where it is the set as a whole, or the place is not
	// known.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Problem describes the mistake, and how to put it right.
	Problem string `json:"problem"`
}

// String is the place and the problem: "line 7, column 19: no gateway is named backpu, only backup,
// primary".
func (m Mistake) String() string {
	switch {
	case m.Line == 0:
		return m.Problem
	case m.Column == 0:
		return fmt.Sprintf("line %d: %s", m.Line, m.Problem)
	default:
		return fmt.Sprintf("line %d, column %d: %s", m.Line, m.Column, m.Problem)
	}
}

// RefusedError says why a rule set was refused: every mistake, in the order of the document. There
// is at least one.
type RefusedError struct {
	Mistakes []Mistake
}

// Error implements error. It is one line for each mistake.
func (e *RefusedError) Error() string {
	lines := make([]string, 0, len(e.Mistakes))
	for _, m := range e.Mistakes {
		lines = append(lines, m.String())
	}
	return strings.Join(lines, "\n")
}

// mistakes gathers all mistakes, so that they are reported at once.
type mistakes struct{ found []Mistake }

func (m *mistakes) at(node *yaml.Node, format string, args ...any) {
	m.found = append(m.found, Mistake{Line: node.Line, Column: node.Column, Problem: fmt.Sprintf(format, args...)})
}

// err returns the mistakes in the order of the document; nil if there are none.
func (m *mistakes) err() error {
	if len(m.found) == 0 {
		return nil
	}
	slices.SortStableFunc(m.found, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &RefusedError{Mistakes: m.found}
}

// lineOf finds the place in an error of the YAML library, which has no other way to tell it.
var lineOf = regexp.MustCompile(`^line (\d+): `)

// notYAML is the refusal of a document that cannot be read at all.
func notYAML(err error) error {
	said := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if place := lineOf.FindStringSubmatch(said); place != nil {
		line, _ = strconv.Atoi(place[1]) // digits; what overflows is no line
		said = said[len(place[0]):]
	}
	switch {
	case strings.HasPrefix(said, "did not find expected"):
		// The library's parser counts lines from 0, its scanner from 1, and neither tells the
		// first.
		line++
	case line == 0 && !strings.HasPrefix(said, "unknown anchor"):
		line = 1
	}
	return &RefusedError{Mistakes: []Mistake{{Line: line, Problem: "not readable as YAML: " + said}}}
}
