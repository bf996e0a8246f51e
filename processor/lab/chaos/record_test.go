package chaos_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/chaos"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestRecordIsReadBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record.jsonl")
	run := chaos.Run{Seed: 42, Tenants: []string{"acme"}, Began: time.Unix(1, 0).UTC()}
	record, err := chaos.CreateRecord(path, run)
	if err != nil {
		t.Fatal(err)
	}
	sent := chaos.Sent{
		Number: 3, Tenant: "acme", Command: "create", PaymentID: uuid.New(), Key: "k", PayloadHash: chaos.Hash{1}, CommandID: "c",
		Subject: "s", MessageID: "m", BodyHash: chaos.Hash{2}, Copy: chaos.CopyAgain, At: time.Unix(2, 0).UTC(), Tries: 3, Error: "e",
		Acknowledged: true, AcknowledgedAt: time.Unix(3, 0).UTC(), Stream: "PAYMENTS_CMD", Sequence: 9, Duplicate: true,
	}
	seen := chaos.Seen{ID: "i", PaymentID: uuid.New(), Version: 2, Type: "payment.created", BodyHash: chaos.Hash{3}, At: time.Unix(4, 0).UTC()}
	const each = 500
	var noting sync.WaitGroup
	for range 8 {
		noting.Go(func() {
			for range each {
				record.Sent(sent)
				record.Seen(seen)
			}
		})
	}
	noting.Wait()
	if got, want := record.Totals(), (chaos.Totals{Sent: 8 * each, Acknowledged: 8 * each, Duplicates: 8 * each, Retries: 16 * each, Seen: 8 * each}); got != want {
		t.Errorf("totals are %+v, want %+v", got, want)
	}
	if err := record.Close(); err != nil {
		t.Fatal(err)
	}
	back, err := chaos.OpenRecord(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Sent) != 8*each || len(back.Seen) != 8*each {
		t.Fatalf("%d sent and %d seen came back", len(back.Sent), len(back.Seen))
	}
	if diff := cmp.Diff(run, back.Run) + cmp.Diff(sent, back.Sent[7]) + cmp.Diff(seen, back.Seen[7]); diff != "" {
		t.Error(diff)
	}
	if _, err := chaos.CreateRecord(path, run); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a record was begun over another one: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestRecordThatCannotBeWrittenSaysSo(t *testing.T) {
	t.Parallel()
	record := chaos.NewRecord(full{}, chaos.Run{})
	record.Sent(chaos.Sent{Tries: 1})
	if err := record.Close(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("closed with %v", err)
	}
	if _, err := chaos.ReadRecord(strings.NewReader(`{"run":{}}` + "\n" + `{"sent":{"number"`)); err == nil {
		t.Error("half a line was read as a record")
	}
}

// A message without acknowledgement promises nothing, and the record says so.
func TestGivenUpIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	js, err := bus.JetStream(server.Connect(t, nats.MaxReconnects(-1)), 0)
	if err != nil {
		t.Fatal(err)
	}
	server.Down()
	first, second, other := sentIn(t, js, 11), sentIn(t, js, 11), sentIn(t, js, 12)
	if len(first) == 0 || first[0].Acknowledged || first[0].Tries == 0 || first[0].Error == "" {
		t.Errorf("recorded %+v", first)
	}
	// The progress of each depends on the time.
	if same, differing := compare(first, second); same == 0 || differing > 0 {
		t.Errorf("the same seed gave %d commands that are the same, %d that are not", same, differing)
	}
	if same, differing := compare(first, other); same > 0 || differing == 0 {
		t.Errorf("another seed gave %d commands that are the same, %d that are not", same, differing)
	}
}

// compare counts what two workloads planned under the same number.
func compare(a, b []chaos.Sent) (same, differing int) {
	subjects := map[int]string{}
	for _, s := range a {
		subjects[s.Number] = s.Subject + s.MessageID
	}
	for _, s := range b {
		subject, both := subjects[s.Number]
		switch {
		case !both:
		case subject == s.Subject+s.MessageID:
			same++
		default:
			differing++
		}
	}
	return same, differing
}

// sentIn returns the messages of a workload without acknowledgements.
func sentIn(t *testing.T, js jetstream.JetStream, seed uint64) []chaos.Sent {
	t.Helper()
	var text strings.Builder
	record := chaos.NewRecord(&text, chaos.Run{Seed: seed})
	workload, err := chaos.NewWorkload([]jetstream.JetStream{js}, record, chaos.WorkloadConfig{
		Seed: seed, Payments: 64, InFlight: 1000, AckWait: time.Millisecond, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	workload.Run(ctx)
	if err := record.Close(); err != nil {
		t.Fatal(err)
	}
	back, err := chaos.ReadRecord(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return back.Sent
}

func TestWorkloadRefusesNonsense(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]chaos.WorkloadConfig{
		"no clock": {}, "no tenant": {Tenants: []string{"A.B"}, Now: time.Now}, "less than nothing": {Payments: -1, Now: time.Now},
	} {
		if _, err := c.Run(); err == nil {
			t.Errorf("%s: a run was begun", name)
		}
		if _, err := chaos.NewWorkload([]jetstream.JetStream{nil}, nil, c); err == nil {
			t.Errorf("%s: a workload was made", name)
		}
	}
	if _, err := chaos.NewWorkload(nil, nil, chaos.WorkloadConfig{Now: time.Now}); err == nil {
		t.Error("a workload was made without a connection")
	}
}
