package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// URL returns the address of a database on this server, with the name and password of the
// superuser. The database need not exist yet.
func (pg *Postgres) URL(database string) string {
	address := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(Superuser, pg.password),
		Host:     net.JoinHostPort(loopback, strconv.Itoa(pg.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return address.String()
}

// administer calls do with a connection to the maintenance database.
func (pg *Postgres) administer(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, pg.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	err = do(conn)
	return errors.Join(err, conn.Close(ctx))
}

// CreateDatabase creates an empty database, or keeps an existing one of that name.
func (pg *Postgres) CreateDatabase(ctx context.Context, database string) error {
	return pg.createDatabase(ctx, database, "template0")
}

// CopyDatabase creates a database as a copy of another one, or keeps an existing one of that name.
// It cuts off the clients of the original.
func (pg *Postgres) CopyDatabase(ctx context.Context, database, original string) error {
	err := pg.administer(ctx, func(conn *pgx.Conn) error {
		// A session ends some time after its connection, and PostgreSQL refuses to copy a database
		// with sessions.
		_, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity WHERE datname = $1", original, quitWait.Milliseconds())
		return err
	})
	if err != nil {
		return fmt.Errorf("copy database %s: %w", original, err)
	}
	return pg.createDatabase(ctx, database, original)
}

func (pg *Postgres) createDatabase(ctx context.Context, database, template string) error {
	err := pg.administer(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize()+" TEMPLATE "+pgx.Identifier{template}.Sanitize())
		return err
	})
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == "42P04" { // duplicate_database
		return nil
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", database, err)
	}
	return nil
}

// DropDatabase removes a database and cuts off its clients. A missing database is no error.
func (pg *Postgres) DropDatabase(ctx context.Context, database string) error {
	err := pg.administer(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{database}.Sanitize()+" WITH (FORCE)")
		return err
	})
	if err != nil {
		return fmt.Errorf("drop database %s: %w", database, err)
	}
	return nil
}

// CreateRole creates a role that may log in, or keeps an existing one, and sets its password. The
// role has only the rights of PUBLIC.
func (pg *Postgres) CreateRole(ctx context.Context, name, password string) error {
	role := pgx.Identifier{name}.Sanitize()
	err := pg.administer(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "CREATE ROLE "+role+" LOGIN")
		if refused := (*pgconn.PgError)(nil); err != nil && (!errors.As(err, &refused) || refused.Code != "42710") { // duplicate_object
			return err
		}
		quoted, err := conn.PgConn().EscapeString(password)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "ALTER ROLE "+role+" PASSWORD '"+quoted+"'")
		return err
	})
	if err != nil {
		return fmt.Errorf("create role %s: %w", name, err)
	}
	return nil
}

// ErrToolMissing means that a client program of PostgreSQL is not on this machine. The wrapping
// error names the program.
var ErrToolMissing = errors.New("no such PostgreSQL program found")

// Dump writes a consistent copy of a database to a file in the custom format of pg_dump, and
// replaces an existing file. It returns [ErrToolMissing] when there is no pg_dump.
func (pg *Postgres) Dump(ctx context.Context, database, file string) error {
	cmd, err := pg.utility(ctx, "pg_dump", "--format=custom", "--file="+file, "--dbname="+database)
	if err == nil {
		err = runUtility(cmd)
	}
	if err != nil {
		return fmt.Errorf("dump database %s: %w", database, err)
	}
	return nil
}

// RestoreDump fills a database from a file of Dump, in one transaction. It creates a missing
// database; an existing one must be empty. The roles that own objects in it must exist. It returns
// [ErrToolMissing] when there is no pg_restore.
func (pg *Postgres) RestoreDump(ctx context.Context, database, file string) error {
	cmd, err := pg.utility(ctx, "pg_restore", "--single-transaction", "--exit-on-error", "--dbname="+database, file)
	if err == nil {
		err = pg.CreateDatabase(ctx, database)
	}
	if err == nil {
		err = runUtility(cmd)
	}
	if err != nil {
		return fmt.Errorf("restore database %s: %w", database, err)
	}
	return nil
}

// utility prepares a client program that connects to this server as the superuser. The environment
// carries the password, invisible to other users.
func (pg *Postgres) utility(ctx context.Context, name string, arguments ...string) (*exec.Cmd, error) {
	path, err := pg.installed.tool(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, append(arguments, "--no-password")...) //nolint:gosec // G204: a program of PostgreSQL's, with arguments of ours
	cmd.Env = append(serverEnvironment(),
		"PGHOST="+loopback, "PGPORT="+strconv.Itoa(pg.port), "PGUSER="+Superuser, "PGPASSWORD="+pg.password)
	return cmd, nil
}

// runUtility runs the program. An error carries its output.
func runUtility(cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(said.String()))
	}
	return nil
}

// tool looks for a program in the folder of the server programs, where its version fits, then on
// PATH.
func (p programs) tool(name string) (string, error) {
	beside := filepath.Join(filepath.Dir(p.initdb), name)
	if executable(beside) {
		return beside, nil
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %s is neither in %s nor on PATH", ErrToolMissing, name, filepath.Dir(beside))
	}
	return found, nil
}
