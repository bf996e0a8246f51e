package deadletter_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func startBus(t testing.TB) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc := servers.NATS(t).Connect(t)
	js := servers.JetStream(t, nc)
	if _, err := bus.Provision(t.Context(), js, bus.StreamOptions{}, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func begin() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// fill stores letters a minute apart, every second one of tenant acme.
func fill(t testing.TB, js jetstream.JetStream, n int) {
	t.Helper()
	for i := range n {
		tenant := []string{"acme", "globex"}[i%2]
		l := deadletter.Of(deadletter.Original{
			Subject: "payments.cmd." + tenant + ".create." + uuid.NewString(), Body: fmt.Appendf(nil, `{"n":%d}`, i),
			Header: nats.Header{"Nats-Msg-Id": {fmt.Sprint("key-", i)}}, Stream: messages.StreamCommands, Sequence: uint64(i + 1), Deliveries: 1,
		}, deadletter.Cause{Reason: "test", Detail: "two\nlines", At: begin().Add(time.Duration(i) * time.Minute)})
		if err := deadletter.Publish(t.Context(), js, l); err != nil {
			t.Fatal(err)
		}
	}
}

func list(t testing.TB, js jetstream.JetStream, f deadletter.Filter) (letters []deadletter.Letter) {
	t.Helper()
	if err := deadletter.List(t.Context(), js, f, func(l deadletter.Letter) bool {
		letters = append(letters, l)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return letters
}

func TestListAsksForManyAtOnce(t *testing.T) {
	t.Parallel()
	nc, js := startBus(t)
	const n = 3000
	fill(t, js, n)
	before := nc.Stats().OutMsgs
	letters := list(t, js, deadletter.Filter{})
	if asked := nc.Stats().OutMsgs - before; len(letters) != n || asked > n/100 {
		t.Errorf("%d letters with %d requests", len(letters), asked)
	}
	for i, l := range letters {
		if l.StreamSequence != uint64(i+1) || l.Headers.Get("Nats-Msg-Id") != fmt.Sprint("key-", i) || len(l.Headers) != 1 || l.Detail != "two lines" {
			t.Fatalf("letter %d: %+v", i, l)
		}
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	_, js := startBus(t)
	if got := list(t, js, deadletter.Filter{}); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	fill(t, js, 10)
	all := list(t, js, deadletter.Filter{})
	_, _, third, err := messages.ParseCommandSubject(all[2].OriginalSubject)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		filter deadletter.Filter
		want   int
	}{
		"tenant":           {deadletter.Filter{Tenant: "acme"}, 5},
		"no tenant's":      {deadletter.Filter{Tenant: "_"}, 0},
		"command":          {deadletter.Filter{Command: "create"}, 10},
		"other command":    {deadletter.Filter{Command: "void"}, 0},
		"payment":          {deadletter.Filter{PaymentID: third.String()}, 1},
		"other's payment":  {deadletter.Filter{PaymentID: third.String(), Tenant: "globex"}, 0},
		"tenant's command": {deadletter.Filter{Tenant: "globex", Command: "create"}, 5},
		"reason":           {deadletter.Filter{Reason: "other"}, 0},
		"since":            {deadletter.Filter{Since: begin().Add(3 * time.Minute)}, 7},
		"until":            {deadletter.Filter{Until: begin().Add(3 * time.Minute)}, 3},
		"between":          {deadletter.Filter{Since: begin().Add(time.Minute), Until: begin().Add(3 * time.Minute)}, 2},
	} {
		if got := list(t, js, c.filter); len(got) != c.want {
			t.Errorf("%s: %d letters, want %d", name, len(got), c.want)
		}
	}
	var refused *messages.DecodeError
	err = deadletter.List(t.Context(), js, deadletter.Filter{Tenant: "a.b"}, func(deadletter.Letter) bool { return true })
	if !errors.As(err, &refused) {
		t.Errorf("a tenant that none can have: %v", err)
	}
}

func TestRemoveTellsApartWhatIsGoneAndWhatMayNotGo(t *testing.T) {
	t.Parallel()
	_, js := startBus(t)
	fill(t, js, 2)
	if l, err := deadletter.Remove(t.Context(), js, 1); err != nil || l.StreamSequence != 1 {
		t.Errorf("%v, %+v", err, l)
	}
	if _, err := deadletter.Remove(t.Context(), js, 1); !errors.Is(err, deadletter.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	config := bus.Streams(bus.StreamOptions{})[2]
	config.DenyDelete = true
	if err := js.DeleteStream(t.Context(), config.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	fill(t, js, 1)
	if _, err := deadletter.Remove(t.Context(), js, 1); err == nil {
		t.Error("a letter that may not be removed was")
	}
}

func TestAdvisoriesThatNameNothingAreRefused(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `[]`, `{}`, `{"stream":"PAYMENTS_CMD","consumer":"workers"}`} {
		if a, err := deadletter.ParseAdvisory(bus.AdvisoryTerminated+"PAYMENTS_CMD.workers", []byte(body)); err == nil {
			t.Errorf("%s: %+v", body, a)
		}
	}
	if _, err := deadletter.ParseAdvisory("elsewhere", []byte(`{"stream":"PAYMENTS_CMD","consumer":"workers","stream_seq":1}`)); err == nil {
		t.Error("a subject of another kind")
	}
}
