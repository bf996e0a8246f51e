package outbox

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// A process that was stopped as a whole has lost neither its connection nor its context when it
// goes on: only the time that has passed tells.
func TestOursNothingIsPublishedAfterTheLease(t *testing.T) {
	t.Parallel()
	js, err := jetstream.New(servers.NATS(t).Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PAYMENTS", Subjects: []string{"payments.evt.>"}, AllowAtomicPublish: true})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), servers.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	for name, n := range map[string]int{"one by one": 3, "in a batch": atomicMin} {
		t.Run(name, func(t *testing.T) {
			// Each publication takes an hour: the process stands still after the first.
			var hours atomic.Int64
			began := time.Now()
			owned := &lease{span: 30 * time.Minute, now: func() time.Time { return began.Add(time.Duration(hours.Load()) * time.Hour) }}
			r, err := NewRelay(pool, js, RelayConfig{}, zaptest.NewLogger(t))
			if err != nil {
				t.Fatal(err)
			}
			rows := make([]row, n)
			for i := range rows {
				rows[i] = row{id: int64(i), Message: Message{Subject: "payments.evt.a", OrderingKey: "a", Payload: []byte("{}")}}
			}
			before := stored(t, stream)
			if done, err := r.publish(t.Context(), owned, rows); !errors.Is(err, errLeaseEnded) || !done.empty() {
				t.Errorf("an owner that was never confirmed: %v", err)
			}
			owned.confirm(began)
			hours.Store(1)
			if done, err := r.publish(t.Context(), owned, rows); !errors.Is(err, errLeaseEnded) || !done.empty() {
				t.Errorf("an owner whose lease has ended: %v", err)
			}
			if n := stored(t, stream) - before; n != 0 {
				t.Errorf("%d messages were published without a lease", n)
			}
			owned.confirm(owned.now())
			if done, err := r.publish(t.Context(), owned, rows); err != nil || len(done.published) != n {
				t.Errorf("an owner that was confirmed again published %d of %d: %v", len(done.published), n, err)
			}
		})
	}
}

func stored(t *testing.T, s jetstream.Stream) uint64 {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}
