package outbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// Headers are stored as a JSON object of strings. Those that need no escapes, which is nearly all,
// are written and read here in one pass; the rest goes through encoding/json.

// appendHeader appends the stored form of a header, its names in order.
func appendHeader(b []byte, header map[string]string) []byte {
	start := len(b)
	names := slices.AppendSeq(make([]string, 0, 16), maps.Keys(header))
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		value := header[name]
		if !isPlain(name) || !isPlain(value) {
			return appendEscaped(b[:start], header)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), name...), `":"`...)
		b = append(append(b, value...), '"')
	}
	return append(b, '}')
}

func appendEscaped(b []byte, header map[string]string) []byte {
	text, err := json.Marshal(header)
	if err != nil {
		panic(fmt.Sprintf("outbox: a map of strings must be valid JSON: %v", err))
	}
	return append(b, text...)
}

// isPlain reports whether s is its own JSON but for the quotes around it.
func isPlain[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// parseHeader reads the stored form of a header.
func parseHeader(stored []byte) (map[string]string, error) {
	if header, ok := parsePlain(string(stored)); ok {
		return header, nil
	}
	var header map[string]string
	if err := json.Unmarshal(stored, &header); err != nil {
		return nil, fmt.Errorf("a header is not a map of strings: %w", err)
	}
	return header, nil
}

// parsePlain reads what appendHeader wrote without escapes; false for anything else, however valid.
func parsePlain(s string) (map[string]string, bool) {
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' {
		return nil, false
	}
	header := make(map[string]string, 8)
	for rest := s[1 : len(s)-1]; rest != ""; {
		name, after, ok := plainString(rest)
		if !ok || after == "" || after[0] != ':' {
			return nil, false
		}
		value, after, ok := plainString(after[1:])
		if !ok {
			return nil, false
		}
		header[name] = value
		if rest = after; rest == "" {
			break
		}
		if rest[0] != ',' || len(rest) == 1 {
			return nil, false
		}
		rest = rest[1:]
	}
	return header, true
}

// plainString takes the string literal that s begins with, which must have no escapes.
func plainString(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[1:i], s[i+1:], true
		case c < ' ' || c >= utf8.RuneSelf || c == '\\':
			return "", "", false
		}
	}
	return "", "", false
}
