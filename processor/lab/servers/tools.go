package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrToolMissing says that a program which comes with PostgreSQL's client is not on this machine. The error that carries it names the program.
var ErrToolMissing = errors.New("no such PostgreSQL program found")

// tool looks for a program beside the server's, where its version fits, then on PATH.
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

// utility prepares a client program that connects to this server as the superuser. The password goes by the environment,
// where other users do not see it.
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

// runUtility returns what the program said when it fails.
func runUtility(cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(said.String()))
	}
	return nil
}

// Dump writes a database to a file in pg_dump's custom format, as of one moment. A file of that name is replaced.
// It returns [ErrToolMissing] when there is no pg_dump.
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

// RestoreDump fills a database from a file of Dump, all or nothing. The database is created if it is missing, and must be empty if it is not; the roles
// that own things in it must be there. It returns [ErrToolMissing] when there is no pg_restore.
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
