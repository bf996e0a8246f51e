package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	loopback = "127.0.0.1"
	// portTries is the number of attempts at a free port: another program may take one between the
	// choice and the use.
	portTries = 10
	// readyPoll is the interval at which a starting server is asked.
	readyPoll = 20 * time.Millisecond
	// logTail is the number of bytes from the end of the log that an error carries.
	logTail = 4096
)

// PostgresOptions configure a server. The zero value is a temporary server on a free port for
// tests: fast, and without durability, because its data is removed at the end.
type PostgresOptions struct {
	Bin            string            // folder of initdb and postgres; empty: PATH, then the usual places
	Dir            string            // folder that keeps the data for the next start; empty: temporary
	Port           int               // loopback port; 0: a free one
	Durable        bool              // a commit survives a power failure; false: it may not
	MaxConnections int               // 0: 200
	Settings       map[string]string // further server settings by name, over the ones chosen here
	// DiskMB puts the data of a temporary server on a separate file system of that many MiB, for
	// [Postgres.FillDisk]; 0: on the file system of the folder. An empty server needs about 40. It
	// requires Linux and root; otherwise the start fails with [ErrNoSmallDisk].
	DiskMB int
}

// Postgres is a private PostgreSQL server. Its methods may be called from several goroutines.
type Postgres struct {
	options   PostgresOptions
	installed programs
	as        account
	home      *home
	port      int
	password  string
	stop      func() error

	mu     sync.Mutex
	server *process // the latest one
	lives  *os.File // reaches EOF when all processes of the server have ended
	down   bool     // ended on purpose
	paused []int    // the paused processes
}

// StartPostgres starts a server and returns when it accepts connections. It fails with
// [ErrPostgresMissing] when the machine has no server programs, and otherwise with the end of the
// log. ctx bounds the start only; Stop ends the server.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	installed, err := findPrograms(ctx, o.Bin)
	if err != nil {
		return nil, err
	}
	as, err := serverAccount()
	if err != nil {
		return nil, err
	}
	h, err := prepareHome(ctx, o, installed, as)
	if err != nil {
		return nil, fmt.Errorf("prepare PostgreSQL: %w", err)
	}
	pg, err := start(ctx, o, h, installed, as)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL %s: %w", installed.version, err), h.release())
	}
	return pg, nil
}

// prepareHome returns a home with a database cluster in it.
func prepareHome(ctx context.Context, o PostgresOptions, installed programs, as account) (*home, error) {
	if o.Dir == "" {
		shop, err := openWorkshop()
		if err != nil {
			return nil, err
		}
		return shop.newHome(ctx, as, func(dir string) error {
			template, err := shop.template(ctx, installed, as)
			if err != nil {
				return err
			}
			if o.DiskMB > 0 {
				if err := mountDisk(filepath.Join(dir, dataName), o.DiskMB); err != nil {
					return err
				}
			}
			return copyHome(template, dir, as)
		})
	}
	if o.DiskMB > 0 {
		return nil, fmt.Errorf("%w: it goes with its server, and %s is to be kept", ErrNoSmallDisk, o.Dir)
	}
	h, err := openHome(o.Dir, as)
	if err != nil {
		return nil, err
	}
	if err := h.initialiseOnce(ctx, installed, as); err != nil {
		return nil, errors.Join(err, h.release())
	}
	return h, nil
}

// predecessorWait is the limit for the previous server in a kept folder to end. The death of its
// parent ends it.
const predecessorWait = time.Minute

// awaitPredecessor waits for a server that still runs in the folder because its parent was killed.
func awaitPredecessor(ctx context.Context, h *home) {
	limit, cancel := context.WithTimeout(ctx, predecessorWait)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		content, err := os.ReadFile(filepath.Join(h.data(), "postmaster.pid"))
		if err != nil {
			return
		}
		first, _, _ := strings.Cut(string(content), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(first))
		if err != nil || !processAlive(pid) {
			return
		}
		select {
		case <-look.C:
		case <-limit.Done():
			return // the start of PostgreSQL will report it
		}
	}
}

// processAlive reports whether there is a process of that number.
func processAlive(pid int) bool {
	found, err := os.FindProcess(pid)
	return err == nil && !errors.Is(found.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// start tries free ports, since another program may take one meanwhile. It tries a given port
// once.
func start(ctx context.Context, o PostgresOptions, h *home, installed programs, as account) (*Postgres, error) {
	password, err := h.password()
	if err != nil {
		return nil, err
	}
	awaitPredecessor(ctx, h)
	pg := &Postgres{options: o, installed: installed, as: as, home: h, password: password, port: o.Port}
	pg.stop = sync.OnceValue(pg.end)
	for try := 1; ; try++ {
		if o.Port == 0 {
			if pg.port, err = freePort(ctx); err != nil {
				return nil, err
			}
		} else if !portFree(ctx, o.Port) {
			return nil, fmt.Errorf("port %d is taken by another program", o.Port)
		}
		err := pg.run(ctx)
		if err == nil {
			return pg, nil
		}
		if o.Port != 0 || try == portTries || portFree(ctx, pg.port) {
			return nil, err
		}
	}
}

// run starts the server and waits until it answers. It ends a server that does not.
func (pg *Postgres) run(ctx context.Context) error {
	if err := pg.launch(); err != nil {
		return err
	}
	err := pg.awaitReady(ctx)
	if err != nil && pg.server.running() {
		err = errors.Join(err, pg.server.stop())
	}
	return err
}

// launch runs the server program with its settings on the command line, so the next start of the
// same data can have others.
func (pg *Postgres) launch() error {
	arguments := []string{"-D", pg.home.data()}
	settings := pg.options.settings(pg.port)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		arguments = append(arguments, "-c", name+"="+settings[name])
	}
	log, err := os.OpenFile(pg.home.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	lives, held, err := os.Pipe() // every process of the server inherits held
	if err != nil {
		return errors.Join(fmt.Errorf("make a pipe: %w", err), log.Close())
	}
	cmd := exec.Command(pg.installed.postgres, arguments...) //nolint:gosec,noctx // G204: a program that findPrograms chose; Stop ends it, in order
	cmd.Dir, cmd.Env = pg.home.data(), serverEnvironment()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{held}
	cmd.SysProcAttr = pg.as.attributes()
	dieWithParent(cmd.SysProcAttr, syscall.SIGINT)
	server, err := launch(cmd)
	if err := errors.Join(err, log.Close(), held.Close()); err != nil { // the child has its own copies of the descriptors
		return errors.Join(err, lives.Close())
	}
	if pg.lives != nil {
		err = pg.lives.Close()
	}
	pg.server, pg.lives, pg.down, pg.paused = server, lives, false, nil
	return err
}

func (o PostgresOptions) settings(port int) map[string]string {
	connections := o.MaxConnections
	if connections == 0 {
		connections = 200
	}
	settings := map[string]string{
		"listen_addresses":        loopback,
		"port":                    strconv.Itoa(port),
		"unix_socket_directories": ".", // in the data folder, which is closed to others and never too long a path
		"max_connections":         strconv.Itoa(connections),
		"shared_buffers":          "128MB",
		"max_wal_size":            "1GB",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"log_line_prefix":         "%m [%p] %d ",
		"jit":                     "off", // compiling does not pay for short statements
	}
	if !o.Durable {
		for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
			settings[name] = "off"
		}
	}
	if o.DiskMB > 0 { // two segments, the least
		settings["min_wal_size"], settings["max_wal_size"] = "32MB", "32MB"
	}
	maps.Copy(settings, o.Settings)
	return settings
}

// awaitReady returns when the server answers a query, when it has ended, or when ctx is done.
func (pg *Postgres) awaitReady(ctx context.Context) error {
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, answerWait)
		err := pg.administer(attempt, func(conn *pgx.Conn) error { return conn.Ping(attempt) })
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-pg.server.done:
			return fmt.Errorf("the server ended (%w); its log says:\n%s", pg.server.err, tail(pg.home.log()))
		case <-ctx.Done():
			return fmt.Errorf("wait for an answer: %w (last: %w); its log says:\n%s", ctx.Err(), err, tail(pg.home.log()))
		case <-poll.C:
		}
	}
}

// Running reports whether the server lives. A paused server does. A server that ended by itself,
// for example on a full disk, does not.
func (pg *Postgres) Running() bool {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	return pg.server.running()
}

// Log returns the file that the server logs to, over all its starts.
func (pg *Postgres) Log() string { return pg.home.log() }

// Shutdown is a way to end a server.
type Shutdown int

// The ways to end a server. Both cut off its clients. An immediate shutdown writes nothing more,
// so the next start recovers from the write-ahead log, as after a crash.
const (
	FastShutdown Shutdown = iota
	ImmediateShutdown
)

// Up starts the server again after it ended, on the same port and data, and returns when it
// accepts connections. Up only waits for a server that is up or recovers from a crash by itself.
func (pg *Postgres) Up(ctx context.Context) error {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	if pg.server.running() {
		if err := pg.awaitReady(ctx); err == nil || pg.server.running() {
			return err
		}
	}
	if err := pg.awaitGone(); err != nil {
		return err
	}
	if !portFree(ctx, pg.port) {
		return fmt.Errorf("start PostgreSQL again: port %d is taken by another program", pg.port)
	}
	if err := pg.run(ctx); err != nil {
		return fmt.Errorf("start PostgreSQL again: %w", err)
	}
	return nil
}

// Down ends the server and keeps its data: clients see an outage until Up. It resumes a paused
// server first. It does nothing after Down or Kill, and returns an error for a server that had
// ended by itself.
func (pg *Postgres) Down(how Shutdown) error {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	if pg.down || pg.server == nil {
		return nil
	}
	if err := pg.thawAll(); err != nil {
		return err
	}
	pg.down = true
	var err error
	if how == ImmediateShutdown && pg.server.running() {
		if err = pg.server.signal(syscall.SIGQUIT); err == nil && !pg.server.ended(stopWait) {
			err = fmt.Errorf("end PostgreSQL at once: process %d goes on", pg.server.cmd.Process.Pid)
		}
	} else {
		err = pg.server.stop()
	}
	if err != nil {
		return fmt.Errorf("%w; its log says:\n%s", err, tail(pg.home.log()))
	}
	return nil
}

// Restart takes the server down and up again.
func (pg *Postgres) Restart(ctx context.Context, how Shutdown) error {
	if err := pg.Down(how); err != nil {
		return err
	}
	return pg.Up(ctx)
}

// awaitGone waits for the processes that a postmaster left behind.
func (pg *Postgres) awaitGone() error {
	if err := pg.lives.SetReadDeadline(time.Now().Add(stopWait)); err != nil {
		return fmt.Errorf("wait for PostgreSQL's processes: %w", err)
	}
	if _, err := pg.lives.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for PostgreSQL's processes: some are there %s after their postmaster", stopWait)
	}
	return nil
}

// Stop ends the server, cuts off its clients and, unless the folder was given, removes its data.
// Further calls return the same result.
func (pg *Postgres) Stop() error { return pg.stop() }

func (pg *Postgres) end() error {
	err := pg.Down(FastShutdown)
	if pg.lives != nil {
		err = errors.Join(err, pg.lives.Close())
	}
	return errors.Join(err, pg.home.release())
}

// tail returns the end of a log, for an error.
func tail(path string) string {
	log, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(log[max(0, len(log)-logTail):]))
}
