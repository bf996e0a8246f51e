package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// singlesInFlight is how many messages are published at once outside an atomic batch.
const singlesInFlight = 200

// publishSingly publishes rows outside of a batch: many at once, but of each ordering key only one at a time, so that
// the loss of one message never lets a later one of its key overtake it. A message the stream already has counts as
// published. It goes on past a row that fails, since others may work, until a whole window of them fails.
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
			case s.verdict(ctx, p.relay, window[i].Subject, err) == refuseRow:
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

// nextWindow takes the first row of each key, as many as may be in flight, and returns them and the rows that remain,
// both in order. Rows of keys that are skipped are in neither.
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

// publishWindow publishes all rows at once and returns the error of each, or why none was published.
func (p *pass) publishWindow(ctx context.Context, s *stream, rows []row) ([]error, error) {
	ctx, stop, err := p.relay.whileConnected(ctx)
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

// strayed reports whether subject, for which nothing responded, is the row's own fault: the stream that took other
// messages of its kind is there, and yet JetStream knows of no stream for the subject. When the stream is missing or
// nothing is known of it, it may just not be provisioned yet, and when JetStream does not answer it may be starting.
func (s *stream) strayed(ctx context.Context, r *Relay, subject string) bool {
	name := s.known()
	if name == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.PublishTimeout)
	defer cancel()
	if _, err := r.js.Stream(ctx, name); err != nil {
		return false
	}
	_, err := r.js.StreamNameBySubject(ctx, subject)
	return errors.Is(err, jetstream.ErrStreamNotFound)
}
