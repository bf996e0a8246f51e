// Package jsonobject writes JSON objects field by field, for what is written so often that
// encoding/json is too slow. The bytes are those that encoding/json would write for the same
// struct.
package jsonobject

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// Writer appends the fields of one object, in the order of the calls. The methods ending in Omit
// leave out what is empty. Names are written as they are: they must need no escapes.
type Writer struct {
	b     []byte
	start int
}

// New begins an object after what is in b.
func New(b []byte) Writer { return Writer{b: append(b, '{'), start: len(b) + 1} }

// End closes the object and returns everything.
func (w *Writer) End() []byte { return append(w.b, '}') }

func (w *Writer) name(name string) {
	if len(w.b) > w.start {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), `":`...)
}

// String writes a string.
func (w *Writer) String(name, value string) {
	w.name(name)
	w.b = AppendString(w.b, value)
}

// StringOmit writes a string that is not empty.
func (w *Writer) StringOmit(name, value string) {
	if value != "" {
		w.String(name, value)
	}
}

// Int writes a whole number.
func (w *Writer) Int(name string, value int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, value, 10)
}

// IntOmit writes a whole number that is not 0.
func (w *Writer) IntOmit(name string, value int64) {
	if value != 0 {
		w.Int(name, value)
	}
}

// BoolOmit writes true.
func (w *Writer) BoolOmit(name string, value bool) {
	if value {
		w.name(name)
		w.b = append(w.b, "true"...)
	}
}

// Time writes a time as time.Time does.
func (w *Writer) Time(name string, value time.Time) {
	w.name(name)
	w.b = append(w.b, '"')
	w.b = value.AppendFormat(w.b, time.RFC3339Nano)
	w.b = append(w.b, '"')
}

// TimeOmit writes a time that is not zero.
func (w *Writer) TimeOmit(name string, value time.Time) {
	if !value.IsZero() {
		w.Time(name, value)
	}
}

// Append writes a value that appends itself.
func (w *Writer) Append(name string, value func(b []byte) []byte) {
	w.name(name)
	w.b = value(w.b)
}

// Value writes a value as encoding/json does. It panics if that fails, which is a mistake of the
// caller.
func (w *Writer) Value(name string, value any) {
	w.name(name)
	w.b = append(w.b, encode(value)...)
}

func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("jsonobject: %T has no JSON: %v", value, err))
	}
	return text
}

// AppendString appends a string literal.
func AppendString(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c >= utf8.RuneSelf, c == '"', c == '\\', c == '<', c == '>', c == '&':
			return append(b, encode(s)...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
