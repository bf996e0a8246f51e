package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const (
	// scanBatch and scanBytes bound one request of Scan.
	scanBatch = 500
	scanBytes = 4 << 20
	// scanTimeout bounds the wait for the answers to one request.
	scanTimeout = 10 * time.Second
	// scanTries is the number of requests in a row that may go without a single answer.
	scanTries = 3
)

// ScanFrom is the place that Scan reads from. Subject may hold wildcards, Sequence 0 is the
// beginning.
type ScanFrom struct {
	Stream, Subject string
	Sequence        uint64
}

// Scan calls yield for each message that a stream holds under a subject, in the order of the
// stream, until it returns false or none is left; for none it is not called. It asks for many at
// once, so that ten thousand are a matter of a second, and keeps a few megabytes at most. The
// stream must allow direct gets. An error means that it is not known whether there are more: one
// that wraps context.DeadlineExceeded, if the answers stopped.
//
// Beside its own headers a message has those by which the server names stream, subject, sequence
// and time.
func Scan(ctx context.Context, js jetstream.JetStream, from ScanFrom, yield func(*jetstream.RawStreamMsg) bool) error {
	tries := 0
	for next := max(from.Sequence, 1); ; {
		page := scanPage{next: next}
		err := page.read(ctx, js, from, yield)
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return nil
		}
		if tries++; page.count > 0 {
			tries = 0
		}
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && !page.stopped && tries < scanTries {
			next = page.next // a server that restarts loses a request, or the rest of its answers
			continue
		}
		if err != nil {
			return fmt.Errorf("read stream %s from %d: %w", from.Stream, page.next, err)
		}
		if page.stopped || page.count < scanBatch && page.pending == "0" {
			return nil
		}
		next = page.next
	}
}

// scanPage is one request of a scan. pending is the number of messages after its last one, as the
// server says.
type scanPage struct {
	next    uint64
	count   int
	pending string
	stopped bool
}

func (p *scanPage) read(ctx context.Context, js jetstream.JetStream, from ScanFrom, yield func(*jetstream.RawStreamMsg) bool) error {
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	found, err := jetstreamext.GetBatch(ctx, js, from.Stream, scanBatch, jetstreamext.GetBatchSeq(p.next),
		jetstreamext.GetBatchSubject(from.Subject), jetstreamext.GetBatchMaxBytes(scanBytes))
	if err != nil {
		return err
	}
	for msg, err := range found {
		if err != nil {
			return err
		}
		p.next = msg.Sequence + 1
		p.count++
		p.pending = msg.Header.Get("Nats-Num-Pending")
		if !yield(msg) {
			p.stopped = true
			return nil
		}
	}
	// The answers end without an error when their time is up.
	return ctx.Err()
}

// lastMax is how many subjects the server answers for in one request.
const lastMax = 1000

// Latest calls yield for the latest message that a stream holds under each of the subjects, which
// must not hold wildcards; for a subject without a message it is not called. The rest is as for
// Scan, but for the order.
func Latest(ctx context.Context, js jetstream.JetStream, stream string, subjects []string, yield func(*jetstream.RawStreamMsg)) error {
	for chunk := range slices.Chunk(subjects, lastMax) {
		found, err := latestOf(ctx, js, stream, chunk)
		for try := 1; errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && try < scanTries; try++ {
			found, err = latestOf(ctx, js, stream, chunk)
		}
		if err != nil && !errors.Is(err, jetstreamext.ErrNoMessages) {
			return fmt.Errorf("read the latest messages of stream %s under %d subjects: %w", stream, len(chunk), err)
		}
		for _, msg := range found {
			yield(msg)
		}
	}
	return nil
}

func latestOf(ctx context.Context, js jetstream.JetStream, stream string, subjects []string) ([]*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	answers, err := jetstreamext.GetLastMsgsFor(ctx, js, stream, subjects)
	if err != nil {
		return nil, err
	}
	var found []*jetstream.RawStreamMsg
	for msg, err := range answers {
		if err != nil {
			return found, err
		}
		found = append(found, msg)
	}
	return found, ctx.Err()
}
