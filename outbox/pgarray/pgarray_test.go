package pgarray_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/outbox/pgarray"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

type row struct {
	id     uuid.UUID
	large  int64
	small  int16
	text   string
	bytes  []byte
	object string
	at     time.Time
}

const readSQL = `
SELECT r.id, r.large, r.small, r.text, r.bytes, r.object::text, r.at
FROM unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::text[], $5::bytea[], $6::json[], $7::timestamptz[])
    WITH ORDINALITY AS r (id, large, small, text, bytes, object, at, position)
ORDER BY r.position`

func arguments(rows []row) []any {
	return []any{
		pgarray.UUIDs(rows, func(r row) uuid.UUID { return r.id }),
		pgarray.Int64s(rows, func(r row) int64 { return r.large }),
		pgarray.Int16s(rows, func(r row) int16 { return r.small }),
		pgarray.Texts(rows, func(r row) string { return r.text }),
		pgarray.Bytes(rows, func(r row) []byte { return r.bytes }),
		pgarray.Bytes(rows, func(r row) []byte { return []byte(r.object) }),
		pgarray.Times(rows, func(r row) time.Time { return r.at }),
	}
}

// What PostgreSQL receives is the same whether or not the connection knows of the arrays.
func TestArraysArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	rows := []row{
		{
			id: uuid.MustParse("0198c4d2-9a31-7c44-8f5e-2b6d1c0a9e77"), large: 1999, small: 2, text: `żółw "quoted", {braced}`,
			bytes: []byte{0, 1, 255}, object: `{"a": [1, 2]}`, at: time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC),
		},
		{large: -1 << 63, small: -1 << 15, bytes: []byte{}, object: "null"},
		{large: 1<<63 - 1, small: 1<<15 - 1, text: "NULL", bytes: []byte{}, object: "{}", at: time.Date(1969, 7, 20, 20, 17, 40, 0, time.UTC)},
	}
	for name, teach := range map[string]func(*pgx.Conn){
		"known":       func(c *pgx.Conn) { pgarray.Register(c.TypeMap()) },
		"known twice": func(c *pgx.Conn) { pgarray.Register(c.TypeMap()); pgarray.Register(c.TypeMap()) },
		"unknown":     func(*pgx.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			teach(conn)
			for n := range len(rows) + 1 {
				if diff := cmp.Diff(rows[:n], read(t, conn, rows[:n]), cmp.AllowUnexported(row{})); diff != "" {
					t.Errorf("%d rows (-sent +received):\n%s", n, diff)
				}
			}
		})
	}
}

// A batch that room was reserved for arrives as it is, large or small, and again and again on one
// connection.
func TestReservedBatchesArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pgarray.Register(conn.TypeMap())
	for _, n := range []int{1, 3000, 2, 5000} {
		rows := make([]row, n)
		for i := range rows {
			rows[i] = row{id: uuid.New(), large: int64(i), text: strings.Repeat("x", i%100), bytes: []byte{}, object: "{}"}
		}
		var batch pgx.Batch
		for range 2 {
			batch.Queue(readSQL, arguments(rows)...).Query(func(found pgx.Rows) error {
				received, err := scan(found)
				if diff := cmp.Diff(rows, received, cmp.AllowUnexported(row{})); diff != "" {
					t.Errorf("%d rows (-sent +received):\n%s", n, diff)
				}
				return err
			})
		}
		pgarray.Reserve(conn, &batch)
		if err := conn.SendBatch(t.Context(), &batch).Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// An ordinary slice is what it was, on a connection that knows of the arrays.
func TestRegisterLeavesOtherValuesAlone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pgarray.Register(conn.TypeMap())
	var got []string
	if err := conn.QueryRow(t.Context(), "SELECT $1::text[]", []string{"a", "b"}).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" {
		t.Error(diff)
	}
}

func read(t *testing.T, conn *pgx.Conn, sent []row) []row {
	t.Helper()
	found, err := conn.Query(t.Context(), readSQL, arguments(sent)...)
	if err != nil {
		t.Fatal(err)
	}
	received, err := scan(found)
	if err != nil {
		t.Fatal(err)
	}
	return received
}

func scan(found pgx.Rows) ([]row, error) {
	received := []row{}
	for found.Next() {
		var r row
		var at *time.Time
		if err := found.Scan((*[16]byte)(&r.id), &r.large, &r.small, &r.text, &r.bytes, &r.object, &at); err != nil {
			return nil, err
		}
		if at != nil {
			r.at = at.UTC()
		}
		received = append(received, r)
	}
	return received, found.Err()
}

func connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), servers.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}
