package deployments_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/messages"
)

func databases() map[string]incident {
	return map[string]incident{
		"no-relay": {
			make: func(s *scene) {
				s.serve("worker")
				s.paid(1)
			},
			hands: map[string]func(*scene){"start the relay": func(s *scene) { s.serve("relay") }},
		},
		"row-parked": {make: func(s *scene) {
			s.serve("worker")
			id := s.paid(1)[0]
			s.sql(`UPDATE outbox SET parked_at = now(), parked_reason = 'too large'
				WHERE id = (SELECT min(id) FROM outbox WHERE ordering_key = $1)`, id.String())
			s.name(id)
			s.serve("relay")
		}},
		"postgres-down": {
			make: func(s *scene) {
				s.serveAll()
				s.paid(1)
				s.admit(false)
				s.threeWaiting()
			},
			hands: map[string]func(*scene){"bring PostgreSQL back": func(s *scene) { s.admit(true) }},
		},
		"postgres-restored": {
			// A checkpoint between dump and restore is one that the bus keeps and the database
			// forgets: verify names it, rightly, and the recipe says so. Here none is due in
			// between.
			settings: []string{"TENDER_CHECKPOINT_INTERVAL=1h"},
			make:     (*scene).loseCommits,
			hands: map[string]func(*scene){
				"start one worker and the relay": func(s *scene) { s.serve("worker,relay", "TENDER_WORKER_SLOTS_MAX=1") },
				"start tender":                   (*scene).serveAll,
			},
			over: func(s *scene) {
				s.wantEvents(4)
				for _, command := range s.sent[:4] {
					totals, _ := s.simulator.Snapshot().Payment(command.PaymentID)
					if totals.CapturedMinor != 1999 {
						s.t.Errorf("payment %s was charged %d, want 1999", command.PaymentID, totals.CapturedMinor)
					}
				}
			},
		},
		"verify-columns":     {make: (*scene).editReadModel, broken: true},
		"read-model-differs": {make: (*scene).editReadModel},
		"history-changed": {
			make: func(s *scene) {
				s.serveAll()
				s.paid(1)
				s.awaitPublished()
				s.stop()
				s.vars["EVIDENCE"] = filepath.Join(s.home, "evidence")
				s.sql("ALTER TABLE payment_events DISABLE TRIGGER ALL")
				s.sql("DELETE FROM payment_events WHERE version = 2")
			},
			broken: true,
			over: func(s *scene) {
				for _, name := range []string{"verify.json", "database.dump", "events"} {
					if _, err := os.Stat(filepath.Join(s.vars["EVIDENCE"], name)); err != nil {
						s.t.Error(err)
					}
				}
			},
		},
	}
}

// editReadModel edits the read model by hand, which is forbidden.
func (s *scene) editReadModel() {
	s.t.Helper()
	s.serveAll()
	s.name(s.paid(1)[0])
	s.awaitPublished()
	s.sql("UPDATE payments SET customer_id = 'another'")
}

// loseCommits dumps the database and makes it older than the bus and the gateway: payments, and
// refunds of one whose order matters.
func (s *scene) loseCommits() {
	s.t.Helper()
	s.vars["DUMP"], s.vars["SINCE"], s.vars["SEQUENCE"] = filepath.Join(s.home, "before.dump"), "1h", "1"
	tender := s.serve("worker,relay,scheduler")
	s.paid(2)
	s.awaitPublished()
	if out, code := s.shell(`pg_dump --format custom --file "$DUMP" "$TENDER_POSTGRES_URL"`); code != 0 {
		s.t.Fatal(out)
	}
	id := s.paid(2)[0]
	for _, amount := range []int64{500, 300} {
		s.refund(id, amount)
		s.await(id, messages.StatusPartiallyRefunded)
	}
	s.awaitSettled()
	s.awaitPublished()
	tender.end(syscall.SIGTERM)
}

// admit lets connections into the database, or cuts off all and lets none in.
func (s *scene) admit(connections bool) {
	s.t.Helper()
	address, err := url.Parse(s.database)
	if err != nil {
		s.t.Fatal(err)
	}
	name := strings.TrimPrefix(address.Path, "/")
	address.Path = "/postgres"
	conn := connect(s.t, address.String())
	statement := "ALTER DATABASE " + pgx.Identifier{name}.Sanitize() + " ALLOW_CONNECTIONS "
	if connections {
		statement += "true"
	} else {
		statement += "false"
	}
	if _, err := conn.Exec(s.t.Context(), statement); err != nil {
		s.t.Fatal(err)
	}
	if !connections {
		value(s.t, conn, "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE datname = $1", name)
	}
}
