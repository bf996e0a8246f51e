package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
)

// Advisory is a message of the server about a command that it will not deliver again.
type Advisory struct {
	Stream     string    `json:"stream"`
	Consumer   string    `json:"consumer"`
	Sequence   uint64    `json:"stream_seq"`
	Deliveries uint64    `json:"deliveries"`
	At         time.Time `json:"timestamp"`
	// Termination is why it was terminated; empty also if no reason was given.
	Termination string `json:"reason"`
	// Terminated tells a termination from deliveries that are exhausted.
	Terminated bool `json:"-"`
}

// ParseAdvisory reads a message of the stream PAYMENTS_ADV.
func ParseAdvisory(subject string, body []byte) (Advisory, error) {
	var a Advisory
	if err := json.Unmarshal(body, &a); err != nil {
		return Advisory{}, fmt.Errorf("read advisory %s: %w", subject, err)
	}
	a.Terminated = strings.HasPrefix(subject, bus.AdvisoryTerminated)
	if a.Stream == "" || a.Consumer == "" || a.Sequence == 0 || !a.Terminated && !strings.HasPrefix(subject, bus.AdvisoryMaxDeliveries) {
		return Advisory{}, fmt.Errorf("read advisory %s: it names no message", subject)
	}
	return a, nil
}

// cause is why the command became a dead letter, as far as the server knows.
func (a Advisory) cause(gone bool) Cause {
	c := Cause{Reason: ReasonDeliveriesExhausted, At: a.At}
	c.Detail = fmt.Sprintf("the server gave it up: no worker settled any of %d deliveries", a.Deliveries)
	if a.Terminated {
		c.Reason = ReasonTerminated
		c.Detail = "terminated without a reason"
		if a.Termination != "" {
			c.Detail = "terminated: " + mask(a.Termination)
		}
	}
	if gone {
		c.Detail += "; the original is gone from its stream"
	}
	return c
}

// Collection turns advisories into dead letters. It remembers which letters it has seen, which is a
// few bytes for each. One goroutine may use it at a time; any number of collections may work on one
// stream.
type Collection struct {
	js    jetstream.JetStream
	next  uint64 // the first dead letter that was not seen
	known map[uint64]seen
}

// seen identifies a dead letter that was read. The sequence of its original alone would do, were
// streams never restored or made anew: then they give the same numbers to other commands.
type seen struct {
	subject uint64 // a hash
	at      time.Time
}

// goneMargin is how much the clocks of workers and server may differ in recognising the letter of
// an original that is gone.
const goneMargin = time.Hour

// NewCollection returns a collection that has seen nothing.
func NewCollection(js jetstream.JetStream) *Collection {
	return &Collection{js: js, known: map[uint64]seen{}}
}

// Collect stores the dead letter of the command that an advisory is about, and returns it; or
// returns false if there is, or was, one already. An original that is gone from its stream makes a
// letter without subject and body. After an error nothing is known to be stored, and repeating the
// call stores one letter.
//
// A letter is recognised by the number of its original in PAYMENTS_DLQ, as it stands there now or
// stood when this collection last looked, and by its message id within the stream's window for
// duplicates. A termination by a worker, which stored the letter before, is recognised by its
// reason, with the letter or without.
func (c *Collection) Collect(ctx context.Context, a Advisory) (Letter, bool, error) {
	if a.Stream != messages.StreamCommands || a.Consumer != bus.ConsumerWorkers || Buried(a.Termination) {
		return Letter{}, false, nil
	}
	original, err := stored{a.Stream, a.Sequence}.fetch(ctx, c.js)
	gone := errors.Is(err, jetstream.ErrMsgNotFound)
	if err != nil && !gone {
		return Letter{}, false, err
	}
	original.Deliveries = a.Deliveries
	l := Of(original, a.cause(gone))
	if err := c.look(ctx); err != nil {
		return Letter{}, false, err
	}
	if !c.has(l, gone) {
		if err := Publish(ctx, c.js, l); err != nil {
			return Letter{}, false, err
		}
		c.remember(l)
		return l, true, EraseOriginal(ctx, c.js, l)
	}
	// A process that was cut short may have stored it.
	return l, false, EraseOriginal(ctx, c.js, l)
}

// look reads the letters that have come since the last time, or all if the stream was made anew.
func (c *Collection) look(ctx context.Context) error {
	stream, err := c.js.Stream(ctx, messages.StreamDeadLetters)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", messages.StreamDeadLetters, err)
	}
	if stream.CachedInfo().State.LastSeq+1 < c.next {
		c.next = 0
		clear(c.known)
	}
	return listFrom(ctx, c.js, c.next, Filter{}, func(l Letter) bool {
		c.next = l.Sequence + 1
		if l.Stream == messages.StreamCommands {
			c.remember(l)
		}
		return true
	})
}

func (c *Collection) remember(l Letter) {
	c.known[l.StreamSequence] = seen{subject: hash(l.OriginalSubject), at: l.DeadAt}
}

func (c *Collection) has(l Letter, gone bool) bool {
	letter, found := c.known[l.StreamSequence]
	if gone {
		return found && letter.at.After(l.DeadAt.Add(-goneMargin))
	}
	return found && letter.subject == hash(l.OriginalSubject)
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // a hash.Hash never returns an error
	return h.Sum64()
}

// stored is the place of a message.
type stored struct {
	stream   string
	sequence uint64
}

// fetch reads a message from the leader of its stream, as it was published. It fails with an error
// that wraps jetstream.ErrMsgNotFound if it is gone. A direct get might be answered by a server
// that is behind, and says so of a message that it has yet to receive.
func (s stored) fetch(ctx context.Context, js jetstream.JetStream) (Original, error) {
	failed := func(err error) (Original, error) {
		return Original{Stream: s.stream, Sequence: s.sequence}, fmt.Errorf("read message %d of stream %s: %w", s.sequence, s.stream, err)
	}
	request, err := json.Marshal(map[string]uint64{"seq": s.sequence})
	if err != nil {
		return failed(err)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	reply, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+s.stream, request)
	if err != nil {
		return failed(err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string `json:"subject"`
			Header  []byte `json:"hdrs"`
			Data    []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return failed(err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return failed(jetstream.ErrMsgNotFound)
	case answer.Error != nil:
		return failed(answer.Error)
	case answer.Message == nil:
		return failed(jetstream.ErrInvalidJetStreamResponse)
	}
	o := Original{Subject: answer.Message.Subject, Body: answer.Message.Data, Stream: s.stream, Sequence: s.sequence}
	if len(answer.Message.Header) > 0 {
		if o.Header, err = nats.DecodeHeadersMsg(answer.Message.Header); err != nil {
			return failed(err)
		}
	}
	return o, nil
}

// fetchTimeout bounds one request to the server.
const fetchTimeout = 5 * time.Second
