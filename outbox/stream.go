package outbox

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"go.uber.org/zap"
)

// batchAgainAfter is how many would-be batches go out one by one before a stream that refused
// atomic batches is asked again: its configuration may have changed.
const batchAgainAfter = 1000

// remedy is the way on after a message or a batch that was not acknowledged.
type remedy int

const (
	tryLater  remedy = iota // nothing wrong with the message: the broker is away, full or not provisioned
	refuseRow               // the message itself cannot be published
	trySingly               // the batch cannot be published as a batch
)

// stream holds what the relay learned about the stream behind a StreamKey. It may be used
// concurrently.
type stream struct {
	key string
	log *zap.Logger

	mu      sync.Mutex
	name    string // as the last acknowledgement named it; empty before the first
	sizeMax int    // of an atomic batch
	singly  int    // how many more batches to publish one by one
}

func (s *stream) acknowledged(name string) {
	s.mu.Lock()
	s.name = name
	s.mu.Unlock()
}

func (s *stream) known() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name
}

func (s *stream) batchSize() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sizeMax
}

// useBatch reports whether to try an atomic batch now.
func (s *stream) useBatch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.singly > 0 {
		s.singly--
		return false
	}
	return true
}

// batchFailed learns from the error of an atomic batch of some size and says how to go on.
func (s *stream) batchFailed(err error, size int) remedy {
	s.mu.Lock()
	defer s.mu.Unlock()
	var refused *jetstream.APIError
	switch {
	case errors.Is(err, jetstreamext.ErrInvalidBatchAck):
		// A server from before atomic batches stored each message as it came.
		s.withoutBatches(err)
		return trySingly
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrBadSubject):
		return trySingly // perhaps only one message is at fault
	case errors.Is(err, context.DeadlineExceeded):
		// It may be stored or not, or wait for one subject the account may not publish to.
		s.singly = max(s.singly, 1)
		return tryLater
	case !errors.As(err, &refused):
		return tryLater
	}
	switch refused.ErrorCode {
	case jetstreamext.JSErrCodeAtomicPublishTooManyInflight, jetstreamext.JSErrCodeBatchPublishTooManyInflight:
		return tryLater
	case jetstreamext.JSErrCodeBatchPublishNotEnabled:
		s.withoutBatches(err)
	case jetstreamext.JSErrCodeBatchPublishExceedsLimit:
		s.sizeMax = max(1, size/2)
	}
	return trySingly // a duplicate, or one message that is refused, or all of them, which the first few will tell
}

// withoutBatches is called with mu held.
func (s *stream) withoutBatches(err error) {
	if s.singly == 0 {
		s.log.Warn("outbox: stream takes no atomic batches, publishing one by one, which is much slower;"+
			" set AllowAtomicPublish on the stream", zap.String("stream_key", s.key), zap.Error(err))
	}
	s.singly = batchAgainAfter
}

// remedy says what to do about a single message that failed with err.
func (s *stream) remedy(ctx context.Context, r *Relay, subject string, err error) remedy {
	var refused *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject):
		return refuseRow
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		if s.strayed(ctx, r, subject) {
			return refuseRow
		}
	case errors.As(err, &refused) && isMessageFault(refused.ErrorCode):
		return refuseRow
	}
	return tryLater
}

// isMessageFault reports whether JetStream refuses this message with the code and would still take
// others. The codes are from errors.json of nats-server 2.15. The relay takes any other code for
// the state of the stream or the server and tries again, so that a misconfigured stream holds
// payments up instead of parking every one of them.
func isMessageFault(code jetstream.ErrorCode) bool {
	switch code {
	case 10054, // message size exceeds maximum allowed
		10097,        // header size exceeds maximum allowed of 64k
		10165, 10166, // per-message TTL: invalid, disabled on the stream
		10168, 10170, 10171, // counter: disabled on the stream, has a payload, invalid increment
		10188, 10189, 10190, 10191, 10192, 10212, 10223: // schedule: disabled on the stream, or invalid in one of its parts
		return true
	}
	return false
}

// strayed reports whether subject, for which nothing responded, is the row's own fault: the stream
// that took other messages of its kind is there, and yet JetStream knows of no stream for the
// subject. When the stream is missing or nothing is known of it, it may just not be provisioned
// yet, and when JetStream does not answer it may be starting.
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
