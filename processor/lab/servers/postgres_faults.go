package servers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Kill ends all processes of the server with SIGKILL, as a crash of its machine would, and returns when they are gone, so that Up
// works. What is written but not yet synced survives; with synchronous_commit off, as for a server that is not Durable, the
// last commits are not written yet and are lost. It does nothing when the server is down.
func (pg *Postgres) Kill() error {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	if !pg.server.running() {
		return nil
	}
	postmaster := pg.server.cmd.Process.Pid
	// Held still it neither starts processes meanwhile nor sees to those that end.
	if err := freeze(postmaster); err != nil {
		return err
	}
	others, err := childrenOf(postmaster)
	if err != nil {
		return errors.Join(err, thaw(postmaster))
	}
	pg.down = true
	for _, pid := range append([]int{postmaster}, others...) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill PostgreSQL's process %d: %w", pid, err)
		}
	}
	if !pg.server.ended(quitWait) {
		return fmt.Errorf("kill PostgreSQL: process %d goes on", postmaster)
	}
	return pg.awaitGone()
}

// Pause holds all processes of the server still and returns when they are: connections stay open and new ones are taken
// by the kernel, and nothing answers. Holding the postmaster alone would only keep new sessions out. Resume lets it go on;
// Down, Kill and Stop end it.
func (pg *Postgres) Pause() error {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	if !pg.server.running() {
		return errors.New("pause PostgreSQL: it is down")
	}
	postmaster := pg.server.cmd.Process.Pid
	pg.paused = []int{postmaster}
	if err := freeze(postmaster); err != nil {
		return err
	}
	others, err := childrenOf(postmaster)
	if err != nil {
		return errors.Join(err, pg.thawAll())
	}
	for _, pid := range others {
		pg.paused = append(pg.paused, pid)
		if err := freeze(pid); err != nil {
			return errors.Join(err, pg.thawAll())
		}
	}
	return nil
}

// Resume lets a paused server go on, unaware of the time that has passed. It does nothing to one that is not paused.
func (pg *Postgres) Resume() error {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	return pg.thawAll()
}

func (pg *Postgres) thawAll() error {
	var errs []error
	for _, pid := range pg.paused {
		errs = append(errs, thaw(pid))
	}
	pg.paused = nil
	return errors.Join(errs...)
}

// CutSessions ends the sessions of a database and returns how many there were. The server goes on.
func (pg *Postgres) CutSessions(ctx context.Context, database string) (int, error) {
	count := 0
	err := pg.administer(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))
			FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`, database).Scan(&count)
	})
	if err != nil {
		return 0, fmt.Errorf("cut the sessions of database %s: %w", database, err)
	}
	return count, nil
}

// ErrNoSmallDisk says that a server cannot have a file system of its own here, or does not have one.
var ErrNoSmallDisk = errors.New("no small file system")

const ballastName = "tender.ballast"

// FillDisk fills the server's file system up, but for the bytes that are to be left, as another program on it would. It
// may be repeated. It returns [ErrNoSmallDisk] for a server that was started without DiskMB.
//
// A table that cannot grow is an ERROR of the statement (53100, disk_full), and reading goes on. A log that cannot grow, which is
// so once its 16 MiB segments are full, or a checkpoint that cannot write is a PANIC: all sessions end and the server
// recovers, with as little space as before, until it is down or FreeDisk comes. Then Up brings it back in either case.
func (pg *Postgres) FillDisk(leave int64) error {
	if pg.options.DiskMB == 0 {
		return fmt.Errorf("fill the disk of PostgreSQL: %w: it was started without DiskMB", ErrNoSmallDisk)
	}
	if err := fill(filepath.Join(pg.home.data(), ballastName), leave); err != nil {
		return fmt.Errorf("fill the disk of PostgreSQL: %w", err)
	}
	return nil
}

// FreeDisk takes away what FillDisk put there.
func (pg *Postgres) FreeDisk() error {
	if err := os.Remove(filepath.Join(pg.home.data(), ballastName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free the disk of PostgreSQL: %w", err)
	}
	return nil
}

// fill appends to a file until nothing more fits, and cuts off what is to be left.
func fill(path string, leave int64) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for size := 1 << 20; size > 0; {
		_, err := file.Write(make([]byte, size))
		if errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return file.Truncate(max(0, info.Size()-leave))
}

// replicaPoll is how often servers are asked how far replication is.
const replicaPoll = 20 * time.Millisecond

// StandbyOptions say what replica to make. The zero value is a temporary one on a free port, which every commit waits for.
type StandbyOptions struct {
	Dir  string // folder that holds it, which must hold none yet; empty: temporary
	Port int    // loopback port; 0: a free one
	// PrimaryAddr is the address (host:port) at which it reaches its primary; empty: directly. A proxy there can part them.
	PrimaryAddr  string
	Asynchronous bool // the primary does not wait for it
}

// Standby makes a copy of the server that follows it by streaming replication, and returns when it does. Unless it is
// asynchronous, a commit that is acknowledged from then on is on both, and the primary hangs in every commit while the standby is
// away: see Alone. The copy has the options of this server. To fail over, Kill this one, Promote the other and lead
// clients there; this one must not be started again, since it has another history.
//
// It returns [ErrToolMissing] when there is no pg_basebackup.
func (pg *Postgres) Standby(ctx context.Context, o StandbyOptions) (*Postgres, error) {
	if err := pg.fitToReplicate(ctx, o); err != nil {
		return nil, fmt.Errorf("make a standby: %w", err)
	}
	h, err := standbyHome(ctx, o.Dir, pg.as)
	if err != nil {
		return nil, fmt.Errorf("make a standby: %w", err)
	}
	name := "standby_" + filepath.Base(h.dir)
	standby, err := pg.copyTo(ctx, h, name, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a standby: %w", err), h.release())
	}
	if err := pg.follow(ctx, name, o); err != nil {
		return nil, errors.Join(fmt.Errorf("make a standby: %w", err), standby.Stop())
	}
	return standby, nil
}

// fitToReplicate refuses to promise what the server's own settings would not keep.
func (pg *Postgres) fitToReplicate(ctx context.Context, o StandbyOptions) error {
	if o.Asynchronous {
		return nil
	}
	var waits string
	err := pg.administer(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SHOW synchronous_commit").Scan(&waits)
	})
	if err == nil && (waits == "off" || waits == "local") {
		err = fmt.Errorf("synchronous_commit is %s: start the primary Durable, or with that setting on", waits)
	}
	return err
}

func standbyHome(ctx context.Context, dir string, as account) (*home, error) {
	if dir == "" {
		shop, err := openWorkshop()
		if err != nil {
			return nil, err
		}
		return shop.newHome(ctx, as, func(string) error { return nil })
	}
	h, err := openHome(dir, as)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(h.data()); err == nil {
		return nil, errors.Join(fmt.Errorf("%s holds a server already", dir), h.release())
	}
	return h, nil
}

// copyTo fills the home with a copy of the running server and starts it as a standby.
func (pg *Postgres) copyTo(ctx context.Context, h *home, name string, o StandbyOptions) (*Postgres, error) {
	password := filepath.Join(h.dir, passwordName)
	err := errors.Join(os.WriteFile(password, []byte(pg.password+"\n"), 0o600), os.Mkdir(h.data(), 0o700))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(pg.as.own(password), pg.as.own(h.data())); err != nil {
		return nil, err
	}
	if err := pg.backup(ctx, h.data(), name, o.PrimaryAddr); err != nil {
		return nil, err
	}
	options := pg.options
	options.Dir, options.Port, options.DiskMB = o.Dir, o.Port, 0
	// A link that was cut is soon tried again, one that was cut in silence is soon missed.
	options.Settings = map[string]string{"wal_retrieve_retry_interval": "200ms", "wal_receiver_timeout": "5s"}
	maps.Copy(options.Settings, pg.options.Settings)
	return start(ctx, options, h, pg.installed, pg.as)
}

// backup copies the running server's data, with what a standby needs to know to follow it.
func (pg *Postgres) backup(ctx context.Context, data, name, address string) error {
	cmd, err := pg.utility(ctx, "pg_basebackup", "--pgdata="+data, "--write-recovery-conf", "--checkpoint=fast",
		"--wal-method=stream", "--no-sync", "--dbname=application_name="+name)
	if err != nil {
		return err
	}
	if address != "" {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("read the primary's address %q: %w", address, err)
		}
		cmd.Env = append(cmd.Env, "PGHOST="+host, "PGPORT="+port)
	}
	cmd.Dir, cmd.SysProcAttr = data, pg.as.attributes()
	if err := runUtility(cmd); err != nil {
		return err
	}
	// The copy knows whom the primary waits for. When it is promoted it has nobody to wait for.
	file, err := os.OpenFile(filepath.Join(data, "postgresql.auto.conf"), os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the standby's settings: %w", err)
	}
	_, err = file.WriteString("synchronous_standby_names = ''\n")
	return errors.Join(err, file.Close())
}

// follow waits for the standby, and makes every commit wait for it.
func (pg *Postgres) follow(ctx context.Context, name string, o StandbyOptions) error {
	for _, setting := range []string{
		"wal_keep_size = '512MB'",   // for a standby that was away for a while
		"wal_sender_timeout = '5s'", // a standby that hangs keeps the primary from ending for no longer
	} {
		if err := pg.alter(ctx, setting); err != nil {
			return err
		}
	}
	if o.Asynchronous {
		return pg.awaitStandby(ctx, "SELECT count(*) FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'", name)
	}
	if err := pg.alter(ctx, "synchronous_standby_names = 'FIRST 1 ("+pgx.Identifier{name}.Sanitize()+")'"); err != nil {
		return err
	}
	return pg.AwaitSync(ctx)
}

// AwaitSync returns when a standby that commits wait for has all that was committed before and follows on.
func (pg *Postgres) AwaitSync(ctx context.Context) error {
	return pg.awaitStandby(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'")
}

// Alone makes commits wait for no standby any more, those that hang in it included. A new Standby is waited for again.
func (pg *Postgres) Alone(ctx context.Context) error {
	return pg.alter(ctx, "synchronous_standby_names = ''")
}

// alter changes a setting now and for later starts.
func (pg *Postgres) alter(ctx context.Context, setting string) error {
	err := pg.administer(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "ALTER SYSTEM SET "+setting)
		if err == nil {
			_, err = conn.Exec(ctx, "SELECT pg_reload_conf()")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("set %s: %w", setting, err)
	}
	return nil
}

func (pg *Postgres) awaitStandby(ctx context.Context, query string, arguments ...any) error {
	err := pg.administer(ctx, func(conn *pgx.Conn) error {
		poll := time.NewTicker(replicaPoll)
		defer poll.Stop()
		for count := 0; ; {
			if err := conn.QueryRow(ctx, query, arguments...).Scan(&count); err != nil || count > 0 {
				return err
			}
			select {
			case <-poll.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	if err != nil {
		return fmt.Errorf("wait for a standby: %w", err)
	}
	return nil
}

// promoteWaitSeconds bounds how long a standby may take to become a primary.
const promoteWaitSeconds = 60

// Promote makes a standby a server of its own that takes writes, and returns when it does.
func (pg *Postgres) Promote(ctx context.Context) error {
	var promoted bool
	err := pg.administer(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT pg_promote(true, "+strconv.Itoa(promoteWaitSeconds)+")").Scan(&promoted)
	})
	if err == nil && !promoted {
		err = fmt.Errorf("it takes longer than %d s; its log says:\n%s", promoteWaitSeconds, tail(pg.home.log()))
	}
	if err != nil {
		return fmt.Errorf("promote a standby: %w", err)
	}
	return nil
}
