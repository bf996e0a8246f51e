package outbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/outbox"
)

func TestAppendRefusesWhatCouldNotBePublished(t *testing.T) {
	t.Parallel()
	with := func(change func(*outbox.Message)) outbox.Message {
		m := event("pay", 1)
		change(&m)
		return m
	}
	subject := func(s string) outbox.Message { return with(func(m *outbox.Message) { m.Subject = s }) }
	header := func(name, value string) outbox.Message {
		return with(func(m *outbox.Message) { m.Header = map[string]string{name: value} })
	}
	tests := []struct {
		name  string
		msg   outbox.Message
		field string
	}{
		{"no subject", subject(""), "Subject"},
		{"wildcard token", subject("payments.*.x"), "Subject"},
		{"wildcard tail", subject("payments.>"), "Subject"},
		{"leading dot", subject(".payments"), "Subject"},
		{"trailing dot", subject("payments."), "Subject"},
		{"empty token", subject("payments..x"), "Subject"},
		{"space in subject", subject("payments. x"), "Subject"},
		{"line break in subject", subject("payments\r\nPUB x"), "Subject"},
		{"subject not UTF-8", subject("payments.\xff"), "Subject"},
		{"subject too long", subject(strings.Repeat("x", 1025)), "Subject"},
		{"no id", with(func(m *outbox.Message) { m.ID = "" }), "ID"},
		{"id that NATS would trim", with(func(m *outbox.Message) { m.ID = "x " }), "ID"},
		{"line break in id", with(func(m *outbox.Message) { m.ID = "x\ny" }), "ID"},
		{"no ordering key", with(func(m *outbox.Message) { m.OrderingKey = "" }), "OrderingKey"},
		{"NUL in ordering key", with(func(m *outbox.Message) { m.OrderingKey = "a\x00" }), "OrderingKey"},
		{"empty header name", header("", "x"), "Header"},
		{"header name with a colon", header("a:b", "x"), "Header"},
		{"line break in header", header("a", "x\r\nb: y"), "Header"},
		{"header not UTF-8", header("a", "\xff"), "Header"},
		{"message id header", header("nats-msg-id", "x"), "Header"},
		{"batch header", header("Nats-Batch-Id", "x"), "Header"},
		{"expectation header", header("Nats-Expected-Last-Sequence", "1"), "Header"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// Nothing reaches the database, so none is needed.
			err := outbox.Append(t.Context(), nil, event("pay", 0), test.msg)
			var invalid *outbox.InvalidMessageError
			if !errors.As(err, &invalid) || invalid.Index != 1 || invalid.Field != test.field || invalid.ID != test.msg.ID {
				t.Errorf("got %v, want message 1 refused for its %s", err, test.field)
			}
			var b pgx.Batch
			if err := outbox.Queue(&b, []outbox.Message{test.msg}); !errors.As(err, &invalid) || b.Len() != 0 {
				t.Errorf("queue: got %v and %d statements, want an InvalidMessageError and none", err, b.Len())
			}
		})
	}
}

func TestAppendOfNothingDoesNothing(t *testing.T) {
	t.Parallel()
	if err := outbox.Append(t.Context(), nil); err != nil {
		t.Error(err)
	}
	var b pgx.Batch
	if err := outbox.Queue(&b, nil); err != nil || b.Len() != 0 {
		t.Errorf("queue: %v, %d statements", err, b.Len())
	}
}

func TestAppendIsPartOfTheTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`CREATE TABLE orders (id text)`)
	order := func(id string, outcome error) {
		err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `INSERT INTO orders VALUES ($1)`, id); err != nil {
				return err
			}
			if err := outbox.Append(t.Context(), tx, event(id, 1), event(id, 2)); err != nil {
				return err
			}
			return outcome
		})
		if !errors.Is(err, outcome) {
			t.Fatal(err)
		}
	}
	order("rolled-back", context.Canceled)
	if n := b.status().Waiting; n != 0 {
		t.Fatalf("%d rows left by a rolled back transaction", n)
	}
	order("committed", nil)
	if n := b.status().Waiting; n != 2 {
		t.Fatalf("%d rows, want 2", n)
	}
}

func TestQueueAppendsInOneRoundTripWithTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`CREATE TABLE orders (id text)`)
	var batch pgx.Batch
	batch.Queue(`INSERT INTO orders VALUES ('pay-0')`)
	if err := outbox.Queue(&batch, events(2, 3)); err != nil {
		t.Fatal(err)
	}
	if err := b.pool.SendBatch(t.Context(), &batch).Close(); err != nil {
		t.Fatal(err)
	}
	b.relay(quick())
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 2, 3)
}

// Another Go program, or the next release, must find the rows of a key in the same partition.
func TestRowsAreStoredAsDocumented(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := event("0198c1a2-0000-7000-8000-000000000001", 7)
	b.append(m, outbox.Message{Subject: "s", ID: "bare", OrderingKey: "foobar"})
	rows, err := b.pool.Query(t.Context(), `
		SELECT partition, subject, message_id, ordering_key, header->>'ce-type', convert_from(payload, 'UTF8')
		FROM outbox ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	type stored struct {
		Partition        int
		Subject, ID, Key string
		Type             *string
		Payload          string
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	if err != nil {
		t.Fatal(err)
	}
	kind := "payment.captured"
	want := []stored{
		{Partition: got[0].Partition, Subject: m.Subject, ID: m.ID, Key: m.OrderingKey, Type: &kind, Payload: `{"version":7}`},
		{Partition: 0xbf9cf968 % 8, Subject: "s", ID: "bare", Key: "foobar"}, // FNV-1a test vector
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
