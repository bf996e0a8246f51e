package bus_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
)

// A scan whose request is lost, or the rest of whose answers is, goes on from where it stopped and
// repeats nothing.
func TestAScanGoesOnAfterALoss(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]faulty.Trap{
		"request": {Match: faulty.InOrder("PUB $JS.API.DIRECT.GET."), Drop: true},
		"answers": {Direction: faulty.FromServer, Match: faulty.InOrder("Nats-Sequence: 7\r\n"), Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dialer, js := faultyBus(t)
			for i := range 10 {
				_, err := js.Publish(t.Context(), fmt.Sprintf("payments.evt.acme.payment.captured.%d", i), []byte("{}"))
				if err != nil {
					t.Fatal(err)
				}
			}
			trap := dialer.Arm(lost)
			var sequences []uint64
			from := bus.ScanFrom{Stream: messages.StreamEvents, Subject: ">"}
			if err := bus.Scan(t.Context(), js, from, func(m *jetstream.RawStreamMsg) bool {
				sequences = append(sequences, m.Sequence)
				return true
			}); err != nil {
				t.Fatal(err)
			}
			<-trap.Fired()
			if fmt.Sprint(sequences) != "[1 2 3 4 5 6 7 8 9 10]" {
				t.Errorf("read %v", sequences)
			}
		})
	}
}
