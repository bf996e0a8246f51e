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

// envelopeRoom is more than what publishing adds to a message: status line, message id header and
// batch headers.
const envelopeRoom = 256

// atomicMin is the number of messages from which an atomic batch pays. A batch saves a flush for
// every message where the server flushes each (sync_interval: always). But for a stream with one
// replica the server makes a store of its own for each batch and flushes it a few times: about 9
// ms, in which it takes four hundred messages one by one, or seventy with a flush for each.
const atomicMin = 200

// pass publishes the rows of one read. One goroutine uses it.
type pass struct {
	relay   *Relay
	lease   *lease
	done    outcome
	blocked map[string]bool // ordering keys with a refused row
}

// publish publishes rows, which are in the order of their ids, and returns their outcome. Rows in
// neither list of the outcome are to be tried again; then the error says why, or a row of their key
// was refused. Rows of one ordering key and one stream are published in order: a row after one that
// was not published is not published either.
func (r *Relay) publish(ctx context.Context, owned *lease, rows []row) (outcome, error) {
	if len(rows) == 0 {
		return outcome{}, nil
	}
	p := &pass{relay: r, lease: owned, done: outcome{published: make([]row, 0, len(rows))}}
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

// publishGroup publishes the rows of one stream in atomic batches as large as the stream takes. It
// stops at the first batch with an error, since the next may hold later rows of the same keys.
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

// publishBatch publishes rows in one atomic batch if they are many and it can, and otherwise one by
// one, which also finds the row that a batch was refused for.
func (p *pass) publishBatch(ctx context.Context, s *stream, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	if len(rows) < min(atomicMin, s.batchSize()) || !s.useBatch() || tooLargeForBatch(rows, p.relay.js.Conn().MaxPayload()) {
		return p.publishSingly(ctx, s, rows)
	}
	limited, stop, err := p.mayPublish(ctx)
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

// singlesInFlight is how many messages are published at once outside an atomic batch.
const singlesInFlight = 200

// publishSingly publishes rows outside of a batch: many at once, but of each ordering key only one
// at a time, so that the loss of one message never lets a later one of its key overtake it. A
// message the stream already has counts as published. It goes on past a row that fails, since
// others may work, until a whole window of them fails.
func (p *pass) publishSingly(ctx context.Context, s *stream, rows []row) error {
	var firstErr error
	held := make(map[string]bool) // keys with a row that is to be tried later
	for len(rows) > 0 {
		window, rest := nextWindow(rows, func(key string) bool { return held[key] || p.blocked[key] })
		if len(window) == 0 {
			break
		}
		errs, err := p.publishWindow(ctx, s, window)
		if err != nil {
			return errors.Join(firstErr, err)
		}
		failed := 0
		for i, err := range errs {
			switch {
			case err == nil:
				p.done.published = append(p.done.published, window[i])
				continue
			case s.remedy(ctx, p.relay, window[i].Subject, err) == refuseRow:
				p.refuse(window[i], err.Error())
				continue
			}
			failed++
			held[window[i].OrderingKey] = true
			if firstErr == nil {
				firstErr = fmt.Errorf("publish message %s to %s: %w", window[i].ID, window[i].Subject, err)
			}
		}
		if failed == len(window) {
			break
		}
		rows = rest
	}
	return firstErr
}

// nextWindow takes the first row of each key, as many as may be in flight, and returns them and the
// rows that remain, both in order. Rows of keys that are skipped are in neither.
func nextWindow(rows []row, skip func(key string) bool) (window, rest []row) {
	taken := make(map[string]bool, singlesInFlight)
	for i := range rows {
		key := rows[i].OrderingKey
		switch {
		case skip(key):
		case len(window) < singlesInFlight && !taken[key]:
			taken[key] = true
			window = append(window, rows[i])
		default:
			taken[key] = true // later rows of the key may not pass this one
			rest = append(rest, rows[i])
		}
	}
	return window, rest
}

// publishWindow publishes all rows at once and returns the error of each, or why none was
// published.
func (p *pass) publishWindow(ctx context.Context, s *stream, rows []row) ([]error, error) {
	ctx, stop, err := p.mayPublish(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	errs := make([]error, len(rows))
	acks := make([]jetstream.PubAckFuture, len(rows))
	for i := range rows {
		acks[i], errs[i] = p.relay.async.PublishMsgAsync(rows[i].msg(), jetstream.WithRetryAttempts(0))
	}
	for i, pending := range acks {
		if errs[i] == nil {
			errs[i] = p.acknowledged(ctx, s, pending)
		}
		errs[i] = causeOf(ctx, errs[i])
	}
	return errs, nil
}

// acknowledged waits for one acknowledgement, and counts it.
func (p *pass) acknowledged(ctx context.Context, s *stream, pending jetstream.PubAckFuture) error {
	select {
	case ack := <-pending.Ok():
		s.acknowledged(ack.Stream)
		p.relay.counters.singles.Add(1)
		if ack.Duplicate {
			p.relay.counters.repeated.Add(1)
		} else {
			p.relay.counters.published.Add(1)
		}
		return nil
	case err := <-pending.Err():
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// mayPublish is whileConnected for a relay that still owns its partitions: a lost lock ends ctx,
// and a stall the lease.
func (p *pass) mayPublish(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := p.lease.check(); err != nil {
		return nil, nil, err
	}
	return p.relay.whileConnected(ctx)
}

// whileConnected returns a context for one publication, which ends after PublishTimeout, or as soon
// as the connection breaks: the acknowledgement of what was sent before will not come. Its cause is
// nats.ErrDisconnected then. The error is that of a connection that is broken or closed already;
// messages would only pile up in the client.
func (r *Relay) whileConnected(ctx context.Context) (context.Context, context.CancelFunc, error) {
	conn := r.js.Conn()
	broken := conn.StatusChanged(nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)
	switch {
	case conn.IsClosed():
		conn.RemoveStatusListener(broken)
		return nil, nil, nats.ErrConnectionClosed
	case !conn.IsConnected():
		conn.RemoveStatusListener(broken)
		return nil, nil, nats.ErrDisconnected
	}
	ctx, stop := context.WithTimeout(ctx, r.cfg.PublishTimeout)
	ctx, abort := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-broken:
			abort(nats.ErrDisconnected)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		abort(context.Canceled) // before the removal, which closes the channel
		stop()
		conn.RemoveStatusListener(broken)
	}, nil
}

// causeOf returns why a publication ended when ctx, from whileConnected, ended it, and otherwise
// err.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
