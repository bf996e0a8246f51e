package outbox

import (
	"github.com/jackc/pgx/v5"
)

// Stretch is a piece of the history of one ordering key, for a program that appends and relays in
// one process. The relay need not read its messages back if they are known to follow those that it
// published before.
type Stretch struct {
	// Key is the ordering key of all Messages.
	Key string
	// After and Upto are positions, which rise with everything that happens to the key, whether
	// there is a message for it or not: the stretch is what lies above After, up to and including
	// Upto. 0 for After says that there is nothing before. A key's version, which only one of two
	// transactions can raise, is such a position.
	After, Upto int64
	// Messages are those of the stretch, in order; there may be none.
	Messages []Message
}

// Appended holds the messages that QueueStretches queued. Give it to [Relay.Offer] once the
// transaction is committed.
type Appended struct {
	stretches []Stretch
	// rows are the messages of all stretches, in order.
	rows []row
	// known is whether the rows have their ids.
	known bool
}

// queueStretchesSQL is appendSQL with an answer: which rows the messages became.
const queueStretchesSQL = `
WITH added AS (` + insertSQL + `
    RETURNING id, message_id
)
SELECT a.id, a.message_id, (SELECT pg_notify('` + channel + `', '') WHERE EXISTS (` + sleepersSQL + `)) IS NULL
FROM added a`

// QueueStretches is [Queue] for stretches: it queues one statement, or none where there are no
// messages. The result is of use only after the batch was sent and the transaction committed.
func QueueStretches(b *pgx.Batch, stretches []Stretch) (*Appended, error) {
	n := 0
	for i := range stretches {
		n += len(stretches[i].Messages)
	}
	a := &Appended{stretches: stretches, known: n == 0}
	if n == 0 {
		return a, nil
	}
	msgs := make([]Message, 0, n)
	for i := range stretches {
		msgs = append(msgs, stretches[i].Messages...)
	}
	encoded, err := encode(msgs)
	if err != nil {
		return nil, err
	}
	a.rows = make([]row, n)
	for i := range encoded {
		a.rows[i] = row{partition: encoded[i].partition, Message: msgs[i], headerSize: len(encoded[i].header)}
	}
	b.Queue(queueStretchesSQL, columns(encoded)...).Query(a.readIDs)
	return a, nil
}

// readIDs reads which rows the messages became. An answer that does not match the messages only
// means that they are not offered.
func (a *Appended) readIDs(found pgx.Rows) error {
	n := 0
	a.known = true
	var id int64
	var messageID string
	_, err := pgx.ForEachRow(found, []any{&id, &messageID, nil}, func() error {
		if n < len(a.rows) && a.rows[n].ID == messageID {
			a.rows[n].id = id
			n++
		} else {
			a.known = false
		}
		return nil
	})
	a.known = a.known && err == nil && n == len(a.rows)
	return err
}
