package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The times of one request to JetStream.
const (
	// RequestWait is how long one attempt waits for its answer. A server that restarts loses
	// requests without a word.
	RequestWait = 5 * time.Second
	// RequestPatience is how long attempts go on where the caller's context has no deadline.
	RequestPatience = 15 * time.Second
)

// JetStream returns JetStream on a connection, the way every part of Tender uses it: a request that
// is not answered within [RequestWait] is made again, until the context ends or, where it has no
// deadline, until patience is over; zero means [RequestPatience]. The library alone waits until the
// context ends for an answer that a restart of the server has lost.
//
// A request may therefore arrive twice. Reads and definitions do not mind; a message that must not
// be stored twice needs a Nats-Msg-Id. Left to the library are: fetching, consuming and
// asynchronous publishing, which have times of their own, listings, object stores, and watching a
// bucket.
func JetStream(conn *nats.Conn, patience time.Duration, options ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	js, err := jetstream.New(conn, options...)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	if patience == 0 {
		patience = RequestPatience
	}
	return &patient{JetStream: js, asker: asker{patience: patience}}, nil
}

// asker makes requests.
type asker struct{ patience time.Duration }

// ask makes one request until it is answered.
func ask[T any](ctx context.Context, a asker, request func(context.Context) (T, error)) (T, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.patience)
		defer cancel()
	}
	for {
		answer, err := attempt(ctx, request)
		if err == nil || ctx.Err() != nil || !unanswered(err) {
			return answer, err
		}
	}
}

func attempt[T any](ctx context.Context, request func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestWait)
	defer cancel()
	return request(ctx)
}

// unanswered reports whether nothing came back, as opposed to a refusal or to a server without
// JetStream.
func unanswered(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
}

// told is ask for a request whose answer is nothing but its error.
func told(ctx context.Context, a asker, request func(context.Context) error) error {
	_, err := ask(ctx, a, func(ctx context.Context) (struct{}, error) { return struct{}{}, request(ctx) })
	return err
}

// patient is JetStream whose requests are made until they are answered.
type patient struct {
	jetstream.JetStream
	asker
}

func (p *patient) AccountInfo(ctx context.Context) (*jetstream.AccountInfo, error) {
	return ask(ctx, p.asker, p.JetStream.AccountInfo)
}

func (p *patient) stream(ctx context.Context, request func(context.Context) (jetstream.Stream, error)) (jetstream.Stream, error) {
	s, err := ask(ctx, p.asker, request)
	if err != nil {
		return nil, err
	}
	return &patientStream{s, p.asker}, nil
}

func (p *patient) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	return p.stream(ctx, func(ctx context.Context) (jetstream.Stream, error) { return p.JetStream.Stream(ctx, name) })
}

func (p *patient) CreateStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	return p.stream(ctx, func(ctx context.Context) (jetstream.Stream, error) { return p.JetStream.CreateStream(ctx, cfg) })
}

func (p *patient) UpdateStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	return p.stream(ctx, func(ctx context.Context) (jetstream.Stream, error) { return p.JetStream.UpdateStream(ctx, cfg) })
}

func (p *patient) CreateOrUpdateStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	return p.stream(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		return p.JetStream.CreateOrUpdateStream(ctx, cfg)
	})
}

func (p *patient) StreamNameBySubject(ctx context.Context, subject string) (string, error) {
	return ask(ctx, p.asker, func(ctx context.Context) (string, error) { return p.JetStream.StreamNameBySubject(ctx, subject) })
}

// DeleteStream may find on a second attempt that the first one has deleted the stream:
// jetstream.ErrStreamNotFound.
func (p *patient) DeleteStream(ctx context.Context, name string) error {
	return told(ctx, p.asker, func(ctx context.Context) error { return p.JetStream.DeleteStream(ctx, name) })
}

func (p *patient) consumer(
	ctx context.Context, request func(context.Context) (jetstream.Consumer, error),
) (jetstream.Consumer, error) {
	return askConsumer(ctx, p.asker, request)
}

func (p *patient) Consumer(ctx context.Context, stream, name string) (jetstream.Consumer, error) {
	return p.consumer(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return p.JetStream.Consumer(ctx, stream, name)
	})
}

func (p *patient) CreateConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (jetstream.Consumer, error) {
	return p.consumer(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return p.JetStream.CreateConsumer(ctx, stream, cfg)
	})
}

func (p *patient) UpdateConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (jetstream.Consumer, error) {
	return p.consumer(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return p.JetStream.UpdateConsumer(ctx, stream, cfg)
	})
}

func (p *patient) CreateOrUpdateConsumer(
	ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
) (jetstream.Consumer, error) {
	return p.consumer(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return p.JetStream.CreateOrUpdateConsumer(ctx, stream, cfg)
	})
}

func (p *patient) OrderedConsumer(
	ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig,
) (jetstream.Consumer, error) {
	return ask(ctx, p.asker, func(ctx context.Context) (jetstream.Consumer, error) {
		return p.JetStream.OrderedConsumer(ctx, stream, cfg)
	})
}

// DeleteConsumer may find on a second attempt that the first one has deleted it:
// jetstream.ErrConsumerNotFound.
func (p *patient) DeleteConsumer(ctx context.Context, stream, name string) error {
	return told(ctx, p.asker, func(ctx context.Context) error { return p.JetStream.DeleteConsumer(ctx, stream, name) })
}

func (p *patient) Publish(
	ctx context.Context, subject string, payload []byte, opts ...jetstream.PublishOpt,
) (*jetstream.PubAck, error) {
	return ask(ctx, p.asker, func(ctx context.Context) (*jetstream.PubAck, error) {
		return p.JetStream.Publish(ctx, subject, payload, opts...)
	})
}

func (p *patient) PublishMsg(
	ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt,
) (*jetstream.PubAck, error) {
	return ask(ctx, p.asker, func(ctx context.Context) (*jetstream.PubAck, error) {
		return p.JetStream.PublishMsg(ctx, msg, opts...)
	})
}

func (p *patient) KeyValue(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	return askBucket(ctx, p.asker, func(ctx context.Context) (jetstream.KeyValue, error) {
		return p.JetStream.KeyValue(ctx, bucket)
	})
}

func (p *patient) CreateKeyValue(ctx context.Context, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	return askBucket(ctx, p.asker, func(ctx context.Context) (jetstream.KeyValue, error) {
		return p.JetStream.CreateKeyValue(ctx, cfg)
	})
}

func askBucket(
	ctx context.Context, a asker, request func(context.Context) (jetstream.KeyValue, error),
) (jetstream.KeyValue, error) {
	kv, err := ask(ctx, a, request)
	if err != nil {
		return nil, err
	}
	return &patientBucket{kv, a}, nil
}

// patientBucket is a bucket whose reads are made until they are answered. A write that names a
// revision cannot be made twice, so it is made once, and an answer that does not come leaves it
// unknown whether it was stored.
type patientBucket struct {
	jetstream.KeyValue
	asker
}

func (b *patientBucket) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	return ask(ctx, b.asker, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return b.KeyValue.Get(ctx, key) })
}

func (b *patientBucket) Create(
	ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt,
) (uint64, error) {
	return attempt(ctx, func(ctx context.Context) (uint64, error) { return b.KeyValue.Create(ctx, key, value, opts...) })
}

func (b *patientBucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return attempt(ctx, func(ctx context.Context) (uint64, error) { return b.KeyValue.Update(ctx, key, value, revision) })
}

func (b *patientBucket) Delete(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) error {
	_, err := attempt(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, b.KeyValue.Delete(ctx, key, opts...)
	})
	return err
}

// patientStream is a stream whose requests are made until they are answered.
type patientStream struct {
	jetstream.Stream
	asker
}

func (s *patientStream) Info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	return ask(ctx, s.asker, func(ctx context.Context) (*jetstream.StreamInfo, error) { return s.Stream.Info(ctx, opts...) })
}

func (s *patientStream) Purge(ctx context.Context, opts ...jetstream.StreamPurgeOpt) error {
	return told(ctx, s.asker, func(ctx context.Context) error { return s.Stream.Purge(ctx, opts...) })
}

func (s *patientStream) GetMsg(
	ctx context.Context, sequence uint64, opts ...jetstream.GetMsgOpt,
) (*jetstream.RawStreamMsg, error) {
	return ask(ctx, s.asker, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.Stream.GetMsg(ctx, sequence, opts...)
	})
}

func (s *patientStream) GetLastMsgForSubject(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return ask(ctx, s.asker, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.Stream.GetLastMsgForSubject(ctx, subject)
	})
}

// DeleteMsg may find on a second attempt that the first one has deleted the message.
func (s *patientStream) DeleteMsg(ctx context.Context, sequence uint64) error {
	return told(ctx, s.asker, func(ctx context.Context) error { return s.Stream.DeleteMsg(ctx, sequence) })
}

// SecureDeleteMsg may find on a second attempt that the first one has deleted the message.
func (s *patientStream) SecureDeleteMsg(ctx context.Context, sequence uint64) error {
	return told(ctx, s.asker, func(ctx context.Context) error { return s.Stream.SecureDeleteMsg(ctx, sequence) })
}

func (s *patientStream) Consumer(ctx context.Context, name string) (jetstream.Consumer, error) {
	return askConsumer(ctx, s.asker, func(ctx context.Context) (jetstream.Consumer, error) { return s.Stream.Consumer(ctx, name) })
}

func (s *patientStream) OrderedConsumer(
	ctx context.Context, cfg jetstream.OrderedConsumerConfig,
) (jetstream.Consumer, error) {
	return ask(ctx, s.asker, func(ctx context.Context) (jetstream.Consumer, error) {
		return s.Stream.OrderedConsumer(ctx, cfg)
	})
}

func askConsumer(
	ctx context.Context, a asker, request func(context.Context) (jetstream.Consumer, error),
) (jetstream.Consumer, error) {
	c, err := ask(ctx, a, request)
	if err != nil {
		return nil, err
	}
	return &patientConsumer{c, a}, nil
}

// patientConsumer is a consumer whose requests are made until they are answered.
type patientConsumer struct {
	jetstream.Consumer
	asker
}

func (c *patientConsumer) Info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	return ask(ctx, c.asker, c.Consumer.Info)
}
