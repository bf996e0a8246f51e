package faulty

import (
	"bytes"
	"regexp"
)

// Match looks for something in what has passed in one direction of one connection, most recent last. It returns how many bytes
// there are up to the end of the first match, 0 if there is none yet. It must be a pure function: a window grows, and is
// looked at again, until there is a match in it.
type Match func(window []byte) int

// Anything matches the first bytes that pass.
func Anything() Match { return func(window []byte) int { return len(window) } }

// InOrder matches when all patterns have passed one after the other, with anything in between.
func InOrder(patterns ...string) Match {
	return func(window []byte) int {
		end := 0
		for _, p := range patterns {
			at := bytes.Index(window[end:], []byte(p))
			if at < 0 {
				return 0
			}
			end += at + len(p)
		}
		return end
	}
}

// expression matches a regular expression.
func expression(text string) Match {
	e := regexp.MustCompile(text)
	return func(window []byte) int {
		found := e.FindIndex(window)
		if found == nil {
			return 0
		}
		return found[1]
	}
}

// first matches whichever comes first.
func first(matches ...Match) Match {
	return func(window []byte) (end int) {
		for _, m := range matches {
			if at := m(window); at > 0 && (end == 0 || at < end) {
				end = at
			}
		}
		return end
	}
}
