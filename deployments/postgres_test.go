package deployments_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// Codes of PostgreSQL's refusals.
const (
	insufficientPrivilege = "42501"
	invalidPassword       = "28P01"
)

func TestPostgresReadsItsConfiguration(t *testing.T) {
	t.Parallel()
	configuration, err := os.ReadFile("postgres/postgresql.conf")
	if err != nil {
		t.Fatal(err)
	}
	// The server may run as another user, who may not see the folder of this test.
	home := t.TempDir()
	file := filepath.Join(home, "postgresql.conf")
	if err := errors.Join(os.WriteFile(file, configuration, 0o644), os.Chmod(home, 0o755), os.Chmod(filepath.Dir(home), 0o711)); err != nil {
		t.Fatal(err)
	}
	pg, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{
		Durable:  true,
		Settings: map[string]string{"config_file": file},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	conn := connect(t, pg.URL("postgres"))

	// A name or a value that the server does not know would have kept it from starting.
	want := map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"log_parameter_max_length": "0", "log_parameter_max_length_on_error": "0",
		"password_encryption": "scram-sha-256",
	}
	got := map[string]string{}
	for name := range want {
		got[name] = value(t, conn, "SELECT current_setting($1)", name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestRolesHaveWhatTheyNeedAndNoMore(t *testing.T) {
	t.Parallel()
	superuser := servers.Database(t)
	runRoles(t, superuser, "first")
	runRoles(t, superuser, "second") // may be run again, and changes the passwords

	_, err := pgx.Connect(t.Context(), as(t, superuser, "tender_serve", "first serve"))
	if code(err) != invalidPassword {
		t.Errorf("connect with the old password: %v, want invalid_password", err)
	}
	owner := connect(t, as(t, superuser, "tender_migrate", "second migrate"))
	if _, err := owner.Exec(t.Context(), "CREATE TABLE ledger (id int); GRANT SELECT, INSERT ON ledger TO tender_serve"); err != nil {
		t.Fatalf("tender_migrate creates a table and grants on it: %v", err)
	}

	serve := connect(t, as(t, superuser, "tender_serve", "second serve"))
	if _, err := serve.Exec(t.Context(), "INSERT INTO ledger VALUES (1)"); err != nil {
		t.Errorf("tender_serve does what it was granted: %v", err)
	}
	for _, statement := range []string{
		"UPDATE ledger SET id = 2",
		"DELETE FROM ledger",
		"TRUNCATE ledger",
		"CREATE TABLE own (id int)",
		"CREATE TEMPORARY TABLE own (id int)",
		"CREATE SCHEMA own",
		"CREATE ROLE other",
		"CREATE DATABASE other",
		"SET ROLE tender_migrate",
	} {
		if _, err := serve.Exec(t.Context(), statement); code(err) != insufficientPrivilege {
			t.Errorf("tender_serve: %s: %v, want insufficient_privilege", statement, err)
		}
	}
	for _, role := range []string{"tender_migrate", "tender_serve"} {
		powers := value(t, owner, `SELECT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)::text
			FROM pg_roles WHERE rolname = $1`, role)
		if powers != "false" {
			t.Errorf("%s has powers of an administrator", role)
		}
	}
}

func TestRolesNeedPasswords(t *testing.T) {
	t.Parallel()
	superuser := servers.Database(t)
	cmd := psql(t, superuser)
	cmd.Env = append(cmd.Env, "POSTGRES_MIGRATE_PASSWORD=one of two")
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("roles were made with an empty password:\n%s", out)
	}
}

// runRoles runs the script with passwords that begin with the given word.
func runRoles(t *testing.T, superuser, word string) {
	t.Helper()
	cmd := psql(t, superuser)
	cmd.Env = append(cmd.Env, "POSTGRES_MIGRATE_PASSWORD="+word+" migrate", "POSTGRES_SERVE_PASSWORD="+word+" serve")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("run roles.sql: %v\n%s", err, out)
	}
}

func psql(t *testing.T, superuser string) *exec.Cmd {
	t.Helper()
	// The one that came with the server: it need not be on PATH.
	folder := value(t, connect(t, superuser), "SELECT setting FROM pg_config WHERE name = $1", "BINDIR")
	cmd := exec.CommandContext(t.Context(), filepath.Join(folder, "psql"), "--no-psqlrc", "--file", "postgres/roles.sql", superuser)
	cmd.Env = os.Environ()
	return cmd
}

// code is the code of PostgreSQL's refusal, or empty.
func code(err error) string {
	if refused := new(pgconn.PgError); errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// as returns the address for another user.
func as(t *testing.T, superuser, user, password string) string {
	t.Helper()
	address, err := url.Parse(superuser)
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword(user, password)
	return address.String()
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return conn
}

func value(t *testing.T, conn *pgx.Conn, query, argument string) string {
	t.Helper()
	var v string
	if err := conn.QueryRow(t.Context(), query, argument).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}
