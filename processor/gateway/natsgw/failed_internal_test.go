package natsgw

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
)

// TestOnlyProofIsNotSent holds the judgement of errors that a test cannot bring about at will.
func TestOnlyProofIsNotSent(t *testing.T) {
	t.Parallel()
	g := &Gateway{name: "bank"}
	for _, err := range []error{
		nats.ErrNoResponders, nats.ErrMaxPayload, nats.ErrReconnectBufExceeded, nats.ErrConnectionDraining,
		nats.ErrHeadersNotSupported, nats.ErrBadSubject, fmt.Errorf("wrapped: %w", nats.ErrNoResponders),
	} {
		if o := g.failed(t.Context(), err); o.Kind != messages.OutcomeNotSent {
			t.Errorf("%v is %s, want not_sent", err, o.Kind)
		}
	}
	for _, err := range []error{
		nats.ErrConnectionClosed, nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrTimeout, nats.ErrStaleConnection,
		nats.ErrNoServers, nats.ErrBadSubscription, context.DeadlineExceeded, context.Canceled, io.ErrUnexpectedEOF,
		errors.New(nats.ErrNoResponders.Error()),
	} {
		if o := g.failed(t.Context(), err); o.Kind != messages.OutcomeUnknown {
			t.Errorf("%v is %s, want unknown", err, o.Kind)
		}
	}
}
