package outbox

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// A backlog that grows in a table PostgreSQL believes to be nearly empty must not be read whole for
// each batch.
func TestBacklogIsWalkedByIndexWhateverTheStatistics(t *testing.T) {
	t.Parallel()
	statistics := map[string]string{"none": `SELECT 1`, "of an empty table": `VACUUM ANALYZE outbox`}
	for name, gather := range statistics {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := pgx.Connect(t.Context(), servers.Database(t))
			if err != nil {
				t.Fatal(err)
			}
			defer closeConn(t.Context(), conn)
			exec := func(sql string) {
				t.Helper()
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			exec(SchemaV1())
			exec(gather)
			exec(`INSERT INTO outbox (partition, subject, message_id, ordering_key, payload)
				SELECT g % 8, 'a.b.c', 'm' || g, 'k' || g / 10, repeat('x', 400)::bytea FROM generate_series(1, 20000) g`)
			exec(`PREPARE read (smallint[], bigint) AS ` + readSQL)
			exec(`PREPARE read_ids (smallint[], bigint) AS ` + readIDsSQL)
			exec(`PREPARE fetch_rows (smallint[], bigint[]) AS ` + fetchSQL)
			exec(`PREPARE remove (smallint[], bigint[]) AS ` + deleteSQL)
			exec(`BEGIN`)
			exec(settingsSQL)
			for _, statement := range []string{`read('{0,2,4,6}', 125)`, `read_ids('{0,2,4,6}', 125)`, `fetch_rows('{0,1,2}', '{8,9,10}')`, `remove('{0,1,2}', '{8,9,10}')`} {
				for range 10 { // longer than a plan made for the arguments lasts
					wantIndexOnly(t, conn, statement)
				}
			}
		})
	}
}

type plan struct {
	NodeType string `json:"Node Type"`
	Plans    []plan `json:"Plans"`
}

func (p plan) nodes() []string {
	nodes := []string{p.NodeType}
	for _, child := range p.Plans {
		nodes = append(nodes, child.nodes()...)
	}
	return nodes
}

func wantIndexOnly(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	var text []byte
	if err := conn.QueryRow(t.Context(), fmt.Sprintf(`EXPLAIN (FORMAT JSON) EXECUTE %s`, statement)).Scan(&text); err != nil {
		t.Fatal(err)
	}
	var explained []struct{ Plan plan }
	if err := json.Unmarshal(text, &explained); err != nil {
		t.Fatal(err)
	}
	nodes := explained[0].Plan.nodes()
	if !slices.Contains(nodes, "Index Scan") {
		t.Errorf("%s walks no index: %s", statement, text)
	}
	for _, bad := range []string{"Seq Scan", "Bitmap Heap Scan", "Sort", "Hash"} {
		if slices.Contains(nodes, bad) {
			t.Errorf("%s needs a %s: %s", statement, bad, text)
		}
	}
}
