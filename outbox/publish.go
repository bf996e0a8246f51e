package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"go.uber.org/zap"
)

// envelopeRoom is more than what publishing adds to a message: status line, message id header and batch headers.
const envelopeRoom = 256

// atomicLeast is from how many messages on an atomic batch pays. It saves a flush for every message where the server flushes
// each (sync_interval: always), but for a stream with one replica the server makes a store of its own for each batch and
// flushes that a few times: about 9 ms, in which it could have taken four hundred messages one by one, or seventy with a flush
// for each.
const atomicLeast = 200

// pass publishes what one read found. One goroutine uses it.
type pass struct {
	relay   *Relay
	done    outcome
	blocked map[string]bool // ordering keys with a refused row
}

// publish publishes rows, which are in the order of their ids, and says what became of them. Rows in neither list of
// the outcome are to be tried again later; then the error says why, or a row of their key was refused. Rows of one
// ordering key and one stream are published in order: what comes after a row that was not published is not either.
func (r *Relay) publish(ctx context.Context, rows []row) (outcome, error) {
	if len(rows) == 0 {
		return outcome{}, nil
	}
	p := &pass{relay: r, done: outcome{published: make([]row, 0, len(rows))}}
	var errs []error
	for _, group := range p.group(rows) {
		if err := p.publishGroup(ctx, group); err != nil {
			errs = append(errs, err)
		}
	}
	return p.done, errors.Join(errs...)
}

// streamRows are rows for one stream, in order.
type streamRows struct {
	stream *stream
	rows   []row
}

// group deals rows out to their streams and refuses those that no server would take.
func (p *pass) group(rows []row) []streamRows {
	var groups []streamRows
	index := make(map[string]int, 2)
	for i := range rows {
		if rows[i].problem != "" {
			p.refuse(rows[i], rows[i].problem)
		}
		if p.blocked[rows[i].OrderingKey] {
			continue
		}
		key := p.relay.cfg.StreamKey(rows[i].Subject)
		at, known := index[key]
		if !known {
			at = len(groups)
			index[key] = at
			groups = append(groups, streamRows{stream: p.relay.stream(key)})
		}
		groups[at].rows = append(groups[at].rows, rows[i])
	}
	return groups
}

// publishGroup publishes the rows of one stream in atomic batches as large as the stream takes. It stops at the first
// batch with an error, since the next may hold later rows of the same keys.
func (p *pass) publishGroup(ctx context.Context, group streamRows) error {
	for rest := group.rows; len(rest) > 0; {
		n := min(len(rest), group.stream.batchSize())
		if err := p.publishBatch(ctx, group.stream, p.unblocked(rest[:n])); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// publishBatch publishes rows in one atomic batch if they are many and it can, and otherwise one by one, which also finds the
// row that a batch was refused for.
func (p *pass) publishBatch(ctx context.Context, s *stream, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	if len(rows) < min(atomicLeast, s.batchSize()) || !s.useBatch() || tooLargeForBatch(rows, p.relay.js.Conn().MaxPayload()) {
		return p.publishSingly(ctx, s, rows)
	}
	limited, stop, err := p.relay.whileConnected(ctx)
	if err != nil {
		return err
	}
	defer stop()
	msgs := make([]*nats.Msg, len(rows))
	for i := range rows {
		msgs[i] = rows[i].msg()
	}
	ack, err := jetstreamext.PublishMsgBatch(limited, p.relay.js, msgs, jetstreamext.BatchFlowControl{})
	if err = causeOf(limited, err); err == nil {
		s.acknowledged(ack.Stream)
		p.done.published = append(p.done.published, rows...)
		p.relay.counters.published.Add(int64(len(rows)))
		p.relay.counters.batches.Add(1)
		return nil
	}
	if ctx.Err() != nil || s.batchFailed(err, len(rows)) == tryLater {
		return fmt.Errorf("publish a batch of %d to %s: %w", len(rows), s.key, err)
	}
	p.relay.log.Debug("outbox: batch refused, publishing one by one",
		zap.String("stream_key", s.key), zap.Int("messages", len(rows)), zap.Error(err))
	return p.publishSingly(ctx, s, rows)
}

func (p *pass) refuse(r row, reason string) {
	if p.blocked[r.OrderingKey] {
		return // an earlier row of the key was refused; this one waits behind it
	}
	if p.blocked == nil {
		p.blocked = make(map[string]bool)
	}
	p.blocked[r.OrderingKey] = true
	p.done.refused = append(p.done.refused, refusal{row: r, reason: reason})
	p.relay.log.Error("outbox: row cannot be published, its ordering key is parked",
		zap.Int64("row", r.id), zap.String("message_id", r.ID), zap.String("subject", r.Subject),
		zap.String("ordering_key", r.OrderingKey), zap.String("reason", reason))
}

// unblocked returns rows without those of keys that were refused since the rows were grouped.
func (p *pass) unblocked(rows []row) []row {
	if len(p.blocked) == 0 {
		return rows
	}
	kept := make([]row, 0, len(rows))
	for i := range rows {
		if !p.blocked[rows[i].OrderingKey] {
			kept = append(kept, rows[i])
		}
	}
	return kept
}

func tooLargeForBatch(rows []row, payloadMax int64) bool {
	for i := range rows {
		if int64(len(rows[i].Payload)+rows[i].headerSize+len(rows[i].ID)+envelopeRoom) > payloadMax {
			return true
		}
	}
	return false
}

// msg returns a new message each time, since publishing in a batch leaves headers on it.
func (r *row) msg() *nats.Msg {
	header := make(nats.Header, len(r.Header)+4)
	values := make([]string, 0, len(r.Header)+1) // of all headers, so that there is one allocation
	set := func(name, value string) {
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	for name, value := range r.Header {
		set(name, value)
	}
	set(jetstream.MsgIDHeader, r.ID)
	return &nats.Msg{Subject: r.Subject, Header: header, Data: r.Payload}
}
