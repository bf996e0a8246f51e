package pgarray

import (
	"slices"

	"github.com/jackc/pgx/v5"
)

// Reserve makes room for the arrays of a batch that is about to be sent. pgx gathers the arguments
// of a statement in one buffer and the messages of a batch in another, both of which begin small
// and grow in small steps: a megabyte is copied five times.
func Reserve(conn *pgx.Conn, b *pgx.Batch) {
	whole := 0
	for _, query := range b.QueuedQueries {
		var first sized
		statement := 0
		for _, argument := range query.Arguments {
			a, ok := argument.(sized)
			if !ok {
				continue
			}
			if first == nil {
				first = a
			}
			statement += a.room()
		}
		if first != nil {
			first.reserve(statement)
		}
		whole += statement
	}
	if whole > reserveLeast {
		conn.PgConn().Frontend().Send(emptyMessage(whole + whole/100))
	}
}

// reserveLeast is what isn't worth it.
const reserveLeast = 4 << 10

// sized is every array of this package.
type sized interface {
	room() int
	reserve(room int)
}

// emptyMessage is no message at all, but room for so many bytes of others.
type emptyMessage int

// Encode implements pgproto3.Message.
func (m emptyMessage) Encode(b []byte) ([]byte, error) { return slices.Grow(b, int(m)), nil }

// Decode implements pgproto3.Message.
func (emptyMessage) Decode([]byte) error { return nil }

// Frontend implements pgproto3.FrontendMessage.
func (emptyMessage) Frontend() {}
