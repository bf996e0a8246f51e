package outbox

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"go.uber.org/zap"
)

func TestRemedies(t *testing.T) {
	t.Parallel()
	api := func(code jetstream.ErrorCode) error {
		return fmt.Errorf("nats: %w", &jetstream.APIError{Code: 400, ErrorCode: code, Description: "as the server says"})
	}
	tests := []struct {
		name          string
		err           error
		batch, single remedy
	}{
		{"larger than the server takes", nats.ErrMaxPayload, trySingly, refuseRow},
		{"malformed subject", nats.ErrBadSubject, trySingly, refuseRow},
		{"larger than the stream takes", api(10054), trySingly, refuseRow},
		{"header too large", api(10097), trySingly, refuseRow},
		{"invalid TTL", api(10165), trySingly, refuseRow},
		{"invalid schedule", api(10189), trySingly, refuseRow},

		{"nothing responds, nothing known of the stream", nats.ErrNoResponders, trySingly, tryLater},
		{"no acknowledgement of a batch", jetstreamext.ErrInvalidBatchAck, trySingly, tryLater},
		{"duplicate in a batch", api(10201), trySingly, tryLater},
		{"batch incomplete", api(10176), trySingly, tryLater},
		{"batches not enabled", api(10174), trySingly, tryLater},
		{"batch too large", api(10199), trySingly, tryLater},

		{"too many batches in flight", api(10210), tryLater, tryLater},
		{"stream full", api(10077), trySingly, tryLater},
		{"account out of resources", api(10002), trySingly, tryLater},
		{"stream sealed", api(10109), trySingly, tryLater},
		{"no leader", api(10008), trySingly, tryLater},
		{"a code of a later server", api(19999), trySingly, tryLater},
		{"timeout", context.DeadlineExceeded, tryLater, tryLater},
		{"disconnected", nats.ErrDisconnected, tryLater, tryLater},
		{"reconnect buffer full", nats.ErrReconnectBufExceeded, tryLater, tryLater},
		{"unheard of", errors.New("unheard of"), tryLater, tryLater},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := &stream{key: "a.b", log: zap.NewNop(), sizeMax: 500}
			if got := s.batchFailed(test.err, 100); got != test.batch {
				t.Errorf("batch: remedy %d, want %d", got, test.batch)
			}
			if got := s.remedy(t.Context(), nil, "a.b.c", test.err); got != test.single {
				t.Errorf("single message: remedy %d, want %d", got, test.single)
			}
		})
	}
}

func TestAStreamWithoutBatchesIsAskedAgain(t *testing.T) {
	t.Parallel()
	s := &stream{key: "a.b", log: zap.NewNop(), sizeMax: 500}
	s.batchFailed(jetstreamext.ErrBatchPublishNotEnabled.APIError(), 100)
	for i := range batchAgainAfter {
		if s.useBatch() {
			t.Fatalf("asked after %d batches", i)
		}
	}
	if !s.useBatch() {
		t.Error("never asked again")
	}
}

// A window holds one row of each key, and what remains keeps its order.
func TestWindowsHoldOneRowOfAKey(t *testing.T) {
	t.Parallel()
	rows := func(keys string) []row {
		var made []row
		for _, key := range keys {
			made = append(made, row{id: int64(len(made)), Message: Message{OrderingKey: string(key)}})
		}
		return made
	}
	keys := func(rows []row) (s string) {
		for i := range rows {
			s += fmt.Sprintf("%s%d", rows[i].OrderingKey, rows[i].id)
		}
		return s
	}
	skipC := func(key string) bool { return key == "c" }
	window, rest := nextWindow(rows("abacbad"), skipC)
	if got, want := keys(window)+" "+keys(rest), "a0b1d6 a2b4a5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var many string
	for i := range singlesInFlight {
		many += string(rune('Ā' + i))
	}
	window, rest = nextWindow(rows(many+"xyx"), skipC)
	if want := fmt.Sprintf("x%dy%dx%d", singlesInFlight, singlesInFlight+1, singlesInFlight+2); len(window) != singlesInFlight || keys(rest) != want {
		t.Errorf("%d rows in the window, then %s", len(window), keys(rest))
	}
}

func TestDefaultStreamKeyIsTwoTokens(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]string{
		"payments": "payments", "payments.evt": "payments.evt", "payments.evt.acme.payment.captured.1": "payments.evt",
	} {
		if got := firstTwoTokens(subject); got != want {
			t.Errorf("%s: %s, want %s", subject, got, want)
		}
	}
}
