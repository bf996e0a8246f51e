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
	"time"

	"github.com/jackc/pgx/v5"
)

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
