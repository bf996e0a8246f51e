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

// Kill ends all processes of the server with SIGKILL, as a crash would, and returns when they are
// gone, so Up works. Data that was written but not synced survives. With synchronous_commit off,
// as for a server that is not Durable, the last commits are not written yet and are lost. Kill
// does nothing when the server is down.
func (pg *Postgres) Kill() error {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	if !pg.server.running() {
		return nil
	}
	postmaster := pg.server.cmd.Process.Pid
	// A stopped postmaster neither starts processes nor reacts to the end of others.
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

// Pause stops all processes of the server and returns when they stand still: connections stay
// open, the kernel accepts new ones, and no request is answered. Pausing only the postmaster would
// only block new sessions. Resume continues the server; Down, Kill and Stop end it.
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

// Resume continues a paused server. It does nothing to a server that is not paused.
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

// CutSessions ends the sessions of a database and returns their number. The server stays up.
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

// ErrNoSmallDisk means that this machine cannot give a server a separate file system, or that the
// server has none.
var ErrNoSmallDisk = errors.New("no small file system")

const ballastName = "tender.ballast"

// FillDisk fills the file system of the server, except for a number of bytes to leave, as another
// program would. It may be repeated. It returns [ErrNoSmallDisk] for a server that was started
// without DiskMB.
//
// A table that cannot grow is an ERROR of the statement (53100, disk_full), and reads continue. A
// write-ahead log that cannot grow beyond its 16 MiB segments, or a checkpoint that cannot write,
// is a PANIC: all sessions end and the server tries to recover on the full disk until it is down
// or FreeDisk is called. Up then starts it in either case.
func (pg *Postgres) FillDisk(leave int64) error {
	if pg.options.DiskMB == 0 {
		return fmt.Errorf("fill the disk of PostgreSQL: %w: it was started without DiskMB", ErrNoSmallDisk)
	}
	if err := fill(filepath.Join(pg.home.data(), ballastName), leave); err != nil {
		return fmt.Errorf("fill the disk of PostgreSQL: %w", err)
	}
	return nil
}

// FreeDisk removes the file of FillDisk.
func (pg *Postgres) FreeDisk() error {
	if err := os.Remove(filepath.Join(pg.home.data(), ballastName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free the disk of PostgreSQL: %w", err)
	}
	return nil
}

// fill appends to a file until the disk is full, and then cuts off the bytes to leave.
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

// replicaPoll is the interval at which the primary is asked for the state of replication.
const replicaPoll = 20 * time.Millisecond

// StandbyOptions configure a replica. The zero value is a temporary, synchronous replica on a free
// port.
type StandbyOptions struct {
	Dir  string // folder for the replica, without a server in it; empty: temporary
	Port int    // loopback port; 0: a free one
	// PrimaryAddr is the address (host:port), for example of a proxy, at which the replica reaches
	// its primary; empty: the primary itself.
	PrimaryAddr  string
	Asynchronous bool // the primary does not wait for it
}

// Standby makes a copy of the server that follows it by streaming replication, and returns when
// the copy follows. Unless it is asynchronous, every commit acknowledged from then on is on both,
// and commits on the primary hang while the standby is down: see Alone. The copy has the options
// of this server. To fail over, Kill this server, Promote the copy and redirect the clients. Do
// not start this server again, since its history differs.
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

// fitToReplicate refuses synchronous replication if the settings of the server prevent it.
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
	// Short times, so the replica soon notices a lost connection and retries it.
	options.Settings = map[string]string{"wal_retrieve_retry_interval": "200ms", "wal_receiver_timeout": "5s"}
	maps.Copy(options.Settings, pg.options.Settings)
	return start(ctx, options, h, pg.installed, pg.as)
}

// backup copies the data of the running server, with the settings for a standby.
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
	// The copy inherits the setting of the primary. After promotion it must wait for no standby.
	file, err := os.OpenFile(filepath.Join(data, "postgresql.auto.conf"), os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the standby's settings: %w", err)
	}
	_, err = file.WriteString("synchronous_standby_names = ''\n")
	return errors.Join(err, file.Close())
}

// follow waits for the standby, and then makes it synchronous.
func (pg *Postgres) follow(ctx context.Context, name string, o StandbyOptions) error {
	for _, setting := range []string{
		"wal_keep_size = '512MB'",   // for a standby that was away for a while
		"wal_sender_timeout = '5s'", // limits the time for which a hanging standby delays the end of the primary
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

// AwaitSync returns when a synchronous standby has all earlier commits and streams new ones.
func (pg *Postgres) AwaitSync(ctx context.Context) error {
	return pg.awaitStandby(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'")
}

// Alone ends synchronous replication, which also releases commits that hang. A new Standby is
// synchronous again.
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

// promoteWaitSeconds is the limit for a standby to become a primary.
const promoteWaitSeconds = 60

// Promote makes a standby an independent server, and returns when it accepts writes.
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
