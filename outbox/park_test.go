package outbox_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestARowTooLargeForTheStreamParksItsKeyOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	small := stream()
	small.MaxMsgSize = 1000
	b.provision(small)
	large := event("pay-0", 2)
	large.Payload = make([]byte, 2000)
	b.append(event("pay-0", 1), event("pay-1", 1), large, event("pay-0", 3), event("pay-1", 2), event("pay-1", 3))
	relay := b.relay(quick())
	b.drained()
	if diff := cmp.Diff([]string{"pay-0:1", "pay-1:1", "pay-1:2", "pay-1:3"}, b.sortedIDs()); diff != "" {
		t.Fatal(diff)
	}
	rows := b.parked()
	if len(rows) != 1 || rows[0].MessageID != "pay-0:2" || rows[0].OrderingKey != "pay-0" || rows[0].Behind != 1 ||
		rows[0].PayloadSize != 2000 || rows[0].Reason == "" || rows[0].ParkedAt.IsZero() {
		t.Fatalf("parked: %+v", rows)
	}
	b.append(event("pay-0", 4), event("pay-1", 4)) // what comes later waits, too, for its own key only
	b.drained()
	if s := b.status(); s.Parked != 1 || s.Behind != 2 || relay.Stats().Parked != 1 {
		t.Fatalf("status: %+v", s)
	}

	if n, err := outbox.Unpark(t.Context(), b.pool, "pay-1"); err != nil || n != 0 {
		t.Errorf("unpark of a key that is not parked: %d, %v", n, err)
	}
	if n, err := outbox.Unpark(t.Context(), b.pool, "pay-0"); err != nil || n != 1 {
		t.Fatalf("unpark: %d, %v", n, err)
	}
	servers.Eventually(t, "it is parked again, for nothing changed", func() bool { return b.status().Parked == 1 })
	b.provision(stream())
	if _, err := outbox.Unpark(t.Context(), b.pool, "pay-0"); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, "all is published", func() bool { s := b.status(); return s.Waiting+s.Behind+s.Parked == 0 })
	wantInOrder(t, b.messages("PAYMENTS"), 2, 4)
}

func TestARowTooLargeForTheServerIsParked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	large := event("pay-2", 1)
	large.Payload = make([]byte, b.nc.MaxPayload()+1)
	edge := event("pay-3", 1) // fits alone, but not with the headers of a batch
	edge.Payload = make([]byte, b.nc.MaxPayload()-150)
	b.append(event("pay-0", 1), large, event("pay-2", 2), edge, event("pay-1", 1))
	b.relay(quick())
	b.drained()
	if diff := cmp.Diff([]string{"pay-0:1", "pay-1:1", "pay-3:1"}, b.sortedIDs()); diff != "" {
		t.Error(diff)
	}
	if rows := b.parked(); len(rows) != 1 || rows[0].MessageID != "pay-2:1" || rows[0].Behind != 1 {
		t.Errorf("parked: %+v", rows)
	}
}

// Rows may come from elsewhere than Append; they must not break the connection or block the others.
func TestRowsThatAppendWouldRefuseAreParked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for key, row := range map[string][3]string{
		"a": {"payments.evt.two words", "a:1", `{}`},
		"b": {"payments.evt.*", "b:1", `{}`},
		"c": {"payments.evt." + strings.Repeat("x", 5000), "c:1", `{}`},
		"d": {"payments.evt.d", "d\r\n:1", `{}`},
		"e": {"payments.evt.e", "e:1", `{"Nats-Expected-Last-Sequence":"7"}`},
		"f": {"payments.evt.f", "f:1", `["not a map"]`},
	} {
		b.exec(`INSERT INTO outbox (partition, subject, message_id, ordering_key, header, payload)
			VALUES (3, $1, $2, $3, $4, '')`, row[0], row[1], key, row[2])
	}
	b.append(event("pay-0", 1), event("pay-1", 1), event("pay-2", 1))
	b.relay(quick())
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 3, 1)
	if rows := b.parked(); len(rows) != 6 {
		t.Errorf("%d rows parked, want 6: %+v", len(rows), rows)
	}
}

func TestASubjectOutsideTheStreamIsParked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stray := event("pay-1", 1)
	stray.Subject = "payments.event.acme"
	cfg := quick()
	cfg.StreamKey = func(string) string { return "one stream" }
	b.append(event("pay-0", 1), stray, event("pay-1", 2), event("pay-0", 2))
	b.relay(cfg)
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 1, 2)
	if rows := b.parked(); len(rows) != 1 || rows[0].Subject != stray.Subject {
		t.Errorf("parked: %+v", rows)
	}
}

// A stream that is not there yet is no fault of the payments: they wait for it.
func TestAMissingStreamParksNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append(event("pay-0", 1))
	relay := b.relay(quick())
	b.drained()
	if err := b.js.DeleteStream(t.Context(), "PAYMENTS"); err != nil {
		t.Fatal(err)
	}
	tries := b.nc.Stats().OutMsgs
	b.append(events(20, 3)...)
	servers.Eventually(t, "the relay has tried", func() bool { return b.nc.Stats().OutMsgs > tries+200 })
	if s := b.status(); s.Waiting != 60 || s.Parked != 0 {
		t.Fatalf("status: %+v", s)
	}
	b.provision(stream())
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 20, 3)
	if n := relay.Stats().Parked; n != 0 {
		t.Errorf("%d rows were parked", n)
	}
}

// sortedIDs are the message ids in the stream, by name.
func (b *bundle) sortedIDs() []string {
	b.t.Helper()
	var ids []string
	for _, m := range b.messages("PAYMENTS") {
		ids = append(ids, m.Headers().Get("Nats-Msg-Id"))
	}
	slices.Sort(ids)
	return ids
}
