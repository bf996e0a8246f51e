package books_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// A check holds no transaction open between its pieces: one that did would end under the
// idle_in_transaction_session_timeout that Tender ships, and keep PostgreSQL from vacuuming.
func TestOursACheckHoldsNoTransactionOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(1200)
	pool := storetest.NewPool(t, b.URL, storetest.AsServingRole, func(cfg *pgxpool.Config) {
		cfg.ConnConfig.RuntimeParams["application_name"] = "checking"
	})
	looks := 0
	o := books.CheckOptions{Now: start(), Workers: 2, Save: func(*books.CheckState) error {
		looks++
		// The other worker comes to the end of its piece, and then waits for this one.
		servers.Eventually(t, "no transaction is open", func() bool {
			return b.Count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
				AND application_name = 'checking' AND xact_start IS NOT NULL`) == 0
		})
		return nil
	}}
	report, err := books.CheckInvariants(t.Context(), pool, o)
	if err != nil || !report.Clean() || looks < 6 {
		t.Errorf("%d pieces, found %+v, %v", looks, report.Findings, err)
	}
}
