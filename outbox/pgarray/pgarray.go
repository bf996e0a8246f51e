// Package pgarray passes one field of many rows to PostgreSQL as an array for unnest.
//
// pgx encodes an array element by element through interfaces, which costs an allocation or two for
// each. The arrays here write themselves in one go where [Register] was called for the connection,
// and are ordinary arrays for pgx where it was not.
package pgarray

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// array is one field of rows. It implements pgtype.ArrayGetter, by which pgx encodes it if it has
// to.
type array[R, T any] struct {
	rows []R
	get  func(R) T
	// put appends the binary form of an element; false for null.
	put func(b []byte, value T) ([]byte, bool)
	// boxed is the element as pgx knows it.
	boxed func(value T) any
	// size is that of an element; nil if all are alike.
	size func(value T) int
	// reserved is what is to be made room for at once, 0 for the array itself.
	reserved int
}

// Dimensions implements pgtype.ArrayGetter.
func (a *array[R, T]) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(len(a.rows)), LowerBound: 1}} //nolint:gosec // a batch has thousands of rows, not billions
}

// Index implements pgtype.ArrayGetter.
func (a *array[R, T]) Index(i int) any { return a.boxed(a.get(a.rows[i])) }

// IndexType implements pgtype.ArrayGetter.
func (a *array[R, T]) IndexType() any {
	var zero T
	return a.boxed(zero)
}

// null is the length of an element that is not there.
const null = 0xffff_ffff

// appendBinary appends the array as PostgreSQL receives it: the number of dimensions, whether there
// are nulls, the type of the elements, the length and the lower bound; then each element with its
// length before it.
func (a *array[R, T]) appendBinary(b []byte, elementOID uint32) []byte {
	if len(a.rows) == 0 {
		return appendUint32s(b, 0, 0, elementOID)
	}
	start := len(b)
	if a.reserved == 0 {
		a.reserved = a.room()
	}
	b = slices.Grow(b, a.reserved)
	b = appendUint32s(b, 1, 0, elementOID, uint32(len(a.rows)), 1) //nolint:gosec // see Dimensions
	for _, r := range a.rows {
		at := len(b)
		b = appendUint32s(b, null)
		var there bool
		if b, there = a.put(b, a.get(r)); there {
			binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4)) //nolint:gosec // less than a message may have
		} else {
			binary.BigEndian.PutUint32(b[start+4:], 1)
		}
	}
	return b
}

// room is what appendBinary takes.
func (a *array[R, T]) room() int {
	const header, length, fixed = 20, 4, 16
	if a.size == nil {
		return header + len(a.rows)*(length+fixed)
	}
	room := header + len(a.rows)*length
	for _, r := range a.rows {
		room += a.size(a.get(r))
	}
	return room
}

func (a *array[R, T]) reserve(room int) { a.reserved = room }

func appendUint32s(b []byte, values ...uint32) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// UUIDs is a uuid[].
func UUIDs[R any](rows []R, get func(R) uuid.UUID) any {
	return &array[R, uuid.UUID]{
		rows, get,
		func(b []byte, v uuid.UUID) ([]byte, bool) { return append(b, v[:]...), true },
		func(v uuid.UUID) any { return pgtype.UUID{Bytes: v, Valid: true} }, nil, 0,
	}
}

// Int64s is a bigint[].
func Int64s[R any](rows []R, get func(R) int64) any {
	return &array[R, int64]{
		rows, get,
		func(b []byte, v int64) ([]byte, bool) { return binary.BigEndian.AppendUint64(b, uint64(v)), true }, //nolint:gosec // the same bits
		func(v int64) any { return v }, nil, 0,
	}
}

// Int16s is a smallint[].
func Int16s[R any](rows []R, get func(R) int16) any {
	return &array[R, int16]{
		rows, get,
		func(b []byte, v int16) ([]byte, bool) { return binary.BigEndian.AppendUint16(b, uint16(v)), true }, //nolint:gosec // the same bits
		func(v int16) any { return v }, nil, 0,
	}
}

// Texts is a text[].
func Texts[R any](rows []R, get func(R) string) any {
	return &array[R, string]{
		rows, get,
		func(b []byte, v string) ([]byte, bool) { return append(b, v...), true },
		func(v string) any { return v },
		func(v string) int { return len(v) }, 0,
	}
}

// Bytes is a bytea[] or a json[]. Nil is empty, not null.
func Bytes[R any](rows []R, get func(R) []byte) any {
	return &array[R, []byte]{
		rows, get,
		func(b []byte, v []byte) ([]byte, bool) { return append(b, v...), true },
		func(v []byte) any { return append([]byte{}, v...) },
		func(v []byte) int { return len(v) }, 0,
	}
}

// epoch is 2000-01-01, from when PostgreSQL counts microseconds, in those of Unix.
const epoch = 946_684_800_000_000

// Times is a timestamptz[], exact to the microsecond. The zero time is null.
func Times[R any](rows []R, get func(R) time.Time) any {
	return &array[R, time.Time]{
		rows, get,
		func(b []byte, v time.Time) ([]byte, bool) {
			if v.IsZero() {
				return b, false
			}
			return binary.BigEndian.AppendUint64(b, uint64(v.UnixMicro()-epoch)), true //nolint:gosec // the same bits
		},
		func(v time.Time) any { return pgtype.Timestamptz{Time: v, Valid: !v.IsZero()} }, nil, 0,
	}
}
