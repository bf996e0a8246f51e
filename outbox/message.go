package outbox

import (
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"
)

// Partitions is the number of partitions the ordering keys are spread over. It is part of the
// stored format: the table's constraint holds the same number, and rows written under another
// number would lose their order.
const Partitions = 8

// subjectSizeMax keeps a subject well inside the protocol line of a NATS server (4096 bytes by
// default), which answers a longer line by closing the connection.
const subjectSizeMax = 1024

// Message is one message to publish. The zero value is not valid.
type Message struct {
	// Subject is the full NATS subject: no wildcards, no empty tokens, no spaces, at most 1024
	// bytes.
	Subject string
	// ID is published as Nats-Msg-Id, by which the stream drops repetitions within its Duplicates
	// window. The same message must always carry the same id, and no other message that id.
	ID string
	// OrderingKey names what the message must keep its order within, for example a payment.
	// Required.
	OrderingKey string
	// Header holds further NATS headers; may be nil. Names that belong to publishing itself
	// (Nats-Msg-Id, Nats-Batch-…, Nats-Expected-…) are refused, since they cannot be honoured when
	// a message is published again.
	Header map[string]string
	// Payload is the body, at most the server's max_payload less the headers; may be empty.
	Payload []byte
}

// InvalidMessageError says which message of a call cannot be appended, and why. Nothing of the call
// was written.
type InvalidMessageError struct {
	Index   int    // position in the call, from 0
	ID      string // the message's id, if it has one
	Field   string // Subject, ID, OrderingKey or Header
	Problem string
}

// Error names the message, the field and the problem.
func (e *InvalidMessageError) Error() string {
	return fmt.Sprintf("outbox message %d (id %q): %s %s", e.Index, e.ID, e.Field, e.Problem)
}

// partitionOf is FNV-1a, which is stable across releases and languages.
func partitionOf(orderingKey string) int16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(orderingKey)) // a hash.Hash never returns an error
	return int16(h.Sum32() % Partitions)
}

// fault returns the field that makes m unpublishable and what is wrong with it, or two empty
// strings.
func (m *Message) fault() (field, problem string) {
	if p := subjectProblem(m.Subject); p != "" {
		return "Subject", p
	}
	if p := textProblem(m.ID); p != "" {
		return "ID", p
	}
	if p := textProblem(m.OrderingKey); p != "" {
		return "OrderingKey", p
	}
	for name, value := range m.Header {
		if p := headerProblem(name, value); p != "" {
			return "Header", p
		}
	}
	return "", ""
}

func subjectProblem(s string) string {
	if isPlainSubject(s) {
		return ""
	}
	switch {
	case s == "":
		return "is empty"
	case len(s) > subjectSizeMax:
		return fmt.Sprintf("has %d bytes, more than %d", len(s), subjectSizeMax)
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case strings.ContainsAny(s, "*>"):
		return "has a wildcard"
	case s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, ".."):
		return "has an empty token"
	}
	for _, r := range s {
		if r <= ' ' || r == 0x7f {
			return "has a space or a control character"
		}
	}
	return ""
}

// isPlainSubject reports in one pass that nothing is wrong with a subject of ASCII.
func isPlainSubject(s string) bool {
	previous := byte('.')
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || c == '*' || c == '>' || c == '.' && previous == '.' {
			return false
		}
		previous = c
	}
	return previous != '.' && len(s) <= subjectSizeMax
}

// textProblem checks what is both a PostgreSQL text and, for ids, a header value: NATS trims spaces
// around those, which would change the id.
func textProblem(s string) string {
	switch {
	case s == "":
		return "is empty"
	case isVisible(s):
		return ""
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case strings.TrimSpace(s) != s:
		return "begins or ends with a space"
	case hasControl(s):
		return "has a control character"
	}
	return ""
}

func headerProblem(name, value string) string {
	switch {
	case isPlainName(name) && isVisible(value):
		return ""
	case !isToken(name):
		return fmt.Sprintf("name %q is not a token", name)
	case isReserved(name):
		return fmt.Sprintf("name %q is reserved", name)
	case !utf8.ValidString(value):
		return fmt.Sprintf("%q is not UTF-8", name)
	case hasControl(value):
		return fmt.Sprintf("%q has a control character", name)
	}
	return ""
}

// isVisible reports whether s is ASCII without spaces and control characters.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func hasControl(s string) bool {
	for i := range len(s) {
		if (s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// isToken reports whether s is a header name by RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// isPlainName reports in one pass that nothing is wrong with a name such as traceparent, ce-id or Content-Type.
func isPlainName(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && s[i] != '-' {
			return false
		}
	}
	return s != "" && s[0] != 'N' && s[0] != 'n'
}

func isReserved(name string) bool {
	lower := strings.ToLower(name)
	return lower == "nats-msg-id" || strings.HasPrefix(lower, "nats-batch-") || strings.HasPrefix(lower, "nats-expected-")
}
