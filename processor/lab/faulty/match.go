package faulty

import (
	"bytes"
	"regexp"
)

// Match searches the bytes that have passed in one direction of one connection, most recent last.
// It returns the number of bytes up to the end of the first match, 0 without a match. It must be a
// pure function: it sees a growing window again and again, until the window contains a match.
type Match func(window []byte) int

// Anything matches the first bytes that pass.
func Anything() Match { return func(window []byte) int { return len(window) } }

// InOrder matches when all patterns have passed one after the other, with any bytes in between.
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

// first returns the earliest of several matches.
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

// Delivery matches, from the server, a message of JetStream to a consumer, with a subject that
// begins with subjectPrefix.
func Delivery(subjectPrefix string) Match {
	return expression(`(?:^|\n)H?MSG ` + regexp.QuoteMeta(subjectPrefix) + `\S* \S+ \$JS\.ACK\.[^\r]+\r\n`)
}

// Ack matches, to the server, the plain acknowledgement of a delivery.
func Ack() Match { return expression(`PUB \$JS\.ACK\.\S+ (?:\S+ )?4\r\n\+ACK\r\n`) }

// Publish matches, to the server, the publication of a message with a subject that begins with
// subjectPrefix.
func Publish(subjectPrefix string) Match {
	return expression(`(?:^|\n)H?PUB ` + regexp.QuoteMeta(subjectPrefix) + `[^\r]*\r\n`)
}

// PubAck matches, from the server, that a stream has stored a message or the whole of an atomic
// batch.
func PubAck(stream string) Match { return InOrder(`{"stream":"` + stream + `"`) }

// Request matches, to the server, an HTTP/1.1 request by the beginning of its first line, such as
// "POST /operations".
func Request(line string) Match { return expression(regexp.QuoteMeta(line) + `\S* HTTP/1\.1\r\n`) }

// Response matches, from the server, the beginning of an HTTP/1.1 response.
func Response() Match { return InOrder("HTTP/1.1 ") }
