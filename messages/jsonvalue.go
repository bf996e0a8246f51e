package messages

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// encoding/json takes "Amount_Minor" for "amount_minor", lets the last of two equal keys win and
// turns half a surrogate pair into a replacement character. Each of these can change the amount of
// a charge, so commands are read here: the standard library checks the syntax, and what is below
// only takes text apart that is known to be valid JSON.

// jsonValue is one member of an object in valid JSON.
type jsonValue struct {
	// path names it in errors: amount_minor, metadata["order"].
	path string
	raw  []byte
}

// readObject calls take for every member of the object in body, refusing anything else and members
// given twice.
func readObject(body []byte, take func(name string, v jsonValue) error) error {
	if !json.Valid(body) {
		return syntaxError(body)
	}
	body = bytes.TrimLeft(body, jsonSpace)
	if body[0] != '{' {
		return refuse(CodeInvalidJSON, "body", "must be a JSON object")
	}
	return eachMember(body, "", take)
}

// eachMember walks over the members of an object. Path is "" for the body itself.
func eachMember(object []byte, path string, take func(name string, v jsonValue) error) error {
	var few [16]string // Bodies have few members; comparing beats a map, and only metadata can outgrow the array.
	seen := few[:0]
	rest := bytes.TrimLeft(object[1:], jsonSpace)
	for rest[0] != '}' {
		end := valueEnd(rest)
		name, err := unquote(rest[:end], "a field name")
		if err != nil {
			return err
		}
		v := jsonValue{path: memberPath(path, name)}
		for _, s := range seen {
			if s == name {
				return refuse(CodeDuplicateField, v.path, "is given twice")
			}
		}
		seen = append(seen, name)
		if path != "" && len(seen) > metadataKeysMax { // Bounds the comparisons above.
			return refuse(CodeInvalidField, path, "has more than %d keys", metadataKeysMax)
		}
		rest = bytes.TrimLeft(rest[end:], jsonSpace)[1:] // the colon
		rest = bytes.TrimLeft(rest, jsonSpace)
		end = valueEnd(rest)
		v.raw = rest[:end]
		if err := take(name, v); err != nil {
			return err
		}
		rest = bytes.TrimLeft(rest[end:], jsonSpace)
		if rest[0] == ',' {
			rest = bytes.TrimLeft(rest[1:], jsonSpace)
		}
	}
	return nil
}

// jsonSpace is what JSON calls white space.
const jsonSpace = " \t\r\n"

func memberPath(object, name string) string {
	switch {
	case object != "":
		return object + "[" + quote(name) + "]"
	case isFieldName(name):
		return name
	default:
		return quote(name)
	}
}

// isFieldName reports whether a name has the shape of ours and can stand in an error as it is.
func isFieldName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= 40
}

// valueEnd returns where the value ends that valid JSON begins with.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; ; {
		switch b[i] {
		case '"':
			i += stringEnd(b[i:])
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			i++
			if depth == 0 { // a number, true, false or null
				for i < len(b) && !strings.ContainsRune(",]} \t\r\n", rune(b[i])) {
					i++
				}
			}
		}
		if depth == 0 {
			return i
		}
	}
}

// stringEnd returns the length of the string literal that b begins with.
func stringEnd(b []byte) int {
	for i := 1; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// unquote reads a string literal, refusing half of a surrogate pair.
func unquote(literal []byte, path string) (string, error) {
	inner := literal[1 : len(literal)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), nil
	}
	var s string
	if err := json.Unmarshal(literal, &s); err != nil {
		return "", refuse(CodeInvalidJSON, path, "is not a JSON string")
	}
	// The library puts U+FFFD where a surrogate pair is broken; two different bodies would become
	// one.
	if strings.Count(s, "\uFFFD") > bytes.Count(inner, []byte("\uFFFD")) {
		return "", refuse(CodeInvalidUTF8, path, "holds half of a surrogate pair or \\ufffd")
	}
	return s, nil
}

// notNull refuses null by name; see DecodeCommand.
func (v jsonValue) notNull() error {
	if string(v.raw) == "null" {
		return refuse(CodeInvalidField, v.path, "must not be null: leave it out instead")
	}
	return nil
}

func (v jsonValue) unknown() error {
	return refuse(CodeUnknownField, v.path, "is not a field of this command")
}

// string reads a string that is not empty.
func (v jsonValue) string(target *string) error {
	if err := v.text(target); err != nil {
		return err
	}
	if *target == "" {
		return refuse(CodeInvalidField, v.path, "must not be empty: leave it out instead")
	}
	return nil
}

func (v jsonValue) text(target *string) error {
	if err := v.notNull(); err != nil {
		return err
	}
	if v.raw[0] != '"' {
		return refuse(CodeInvalidField, v.path, "must be a string")
	}
	s, err := unquote(v.raw, v.path)
	if err != nil {
		return err
	}
	*target = s
	return nil
}

// amount reads a whole number of minor units. 19.99, 1999.0, 2e3 and "1999" are refused: their
// author may have meant something else.
func (v jsonValue) amount(target *int64) error {
	if err := v.notNull(); err != nil {
		return err
	}
	digits := strings.TrimPrefix(string(v.raw), "-")
	if !allDigits(digits) {
		return refuse(CodeInvalidField, v.path, "must be a whole number of minor units, such as 1999 for 19.99 USD")
	}
	n, err := strconv.ParseInt(string(v.raw), 10, 64)
	if err != nil { // Only digits got here, so it is the range.
		if v.raw[0] == '-' {
			return notPositive(v.path)
		}
		return tooLarge(v.path)
	}
	*target = n
	return validateAmount(v.path, n)
}

func (v jsonValue) bool(target *bool) error {
	switch string(v.raw) {
	case "true":
		*target = true
	case "false":
		*target = false
	default:
		return refuse(CodeInvalidField, v.path, "must be true or false")
	}
	return nil
}

func (v jsonValue) time(target *time.Time) error {
	var s string
	if err := v.text(&s); err != nil {
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return refuse(CodeInvalidField, v.path, "must be a time of RFC 3339")
	}
	*target = t.UTC()
	return nil
}

// count reads a whole number that counts something.
func (v jsonValue) count(target *int) error {
	if err := v.notNull(); err != nil {
		return err
	}
	n, err := strconv.Atoi(string(v.raw))
	if err != nil {
		return refuse(CodeInvalidField, v.path, "must be a whole number")
	}
	*target = n
	return nil
}

// object reads an object, calling take for every member.
func (v jsonValue) object(take func(name string, v jsonValue) error) error {
	if err := v.notNull(); err != nil {
		return err
	}
	if v.raw[0] != '{' {
		return refuse(CodeInvalidField, v.path, "must be an object")
	}
	return eachMember(v.raw, v.path, take)
}

// strings reads an object of strings.
func (v jsonValue) strings(target *map[string]string) error {
	if err := v.notNull(); err != nil {
		return err
	}
	if v.raw[0] != '{' {
		return refuse(CodeInvalidField, v.path, "must be an object of strings")
	}
	members := make(map[string]string)
	err := eachMember(v.raw, v.path, func(name string, member jsonValue) error {
		var s string
		if err := member.text(&s); err != nil {
			return err
		}
		members[name] = s
		return nil
	})
	*target = members
	return err
}

// syntaxError says what is wrong with a body that is not valid JSON. It repeats nothing of it.
func syntaxError(body []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	var first json.RawMessage
	err := decoder.Decode(&first)
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return refuse(CodeTrailingData, "body", "goes on after its JSON object, at byte %d", decoder.InputOffset())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(CodeInvalidJSON, "body", "ends before its JSON does")
	case errors.As(err, &syntax):
		return refuse(CodeInvalidJSON, "body", "is not JSON at byte %d", syntax.Offset)
	default:
		return refuse(CodeInvalidJSON, "body", "is not JSON")
	}
}
