package servers

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Superuser is the role that owns a private server; its password is in the URL.
const Superuser = "postgres"

// home is the folder of one server, with its data and a lock that its process holds. For
// PostgreSQL it also contains the password of the superuser and the log of the server.
type home struct {
	dir       string
	held      *lock
	temporary bool // removed when released
}

// claimHome locks an existing folder for this process.
func claimHome(dir string) (*home, error) {
	held, err := tryLock(filepath.Join(dir, lockName))
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("a server already runs in %s: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	return &home{dir: dir, held: held}, nil
}

// StateDir returns the default folder for the data of a server of that name. The folder survives a
// reboot, and the account of the server can reach it: for root below /var/lib/tender, for others
// below $XDG_STATE_HOME or ~/.local/state. The folder need not exist yet.
func StateDir(name string) (string, error) {
	if os.Geteuid() == 0 {
		return filepath.Join("/var/lib/tender", name), nil
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "tender", name), nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the data of %s: %w", name, err)
	}
	return filepath.Join(user, ".local", "state", "tender", name), nil
}

// openHome claims the folder of a server that keeps its data, and creates it on the first use. A
// folder that exists keeps its owner and mode.
func openHome(dir string, as account) (*home, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("resolve home: %w", err)
	}
	// Passable for others, since the servers of root run as another user. The content is closed.
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // G301: see above
		return nil, fmt.Errorf("create home: %w", err)
	}
	if err := as.reach(dir); err != nil {
		return nil, err
	}
	return claimHome(dir)
}

// initialiseOnce makes a database cluster in the home unless there is one.
func (h *home) initialiseOnce(ctx context.Context, server programs, as account) error {
	if _, err := os.Stat(h.data()); err == nil {
		return nil
	}
	draft, err := os.MkdirTemp(h.dir, "draft-")
	if err != nil {
		return fmt.Errorf("create draft: %w", err)
	}
	err = initialise(ctx, draft, server, as)
	if err == nil {
		err = os.Rename(filepath.Join(draft, passwordName), filepath.Join(h.dir, passwordName))
	}
	if err == nil { // the data comes last: its presence means that the home is complete
		err = os.Rename(filepath.Join(draft, dataName), h.data())
	}
	return errors.Join(err, os.RemoveAll(draft))
}

func (h *home) data() string { return filepath.Join(h.dir, dataName) }
func (h *home) log() string  { return filepath.Join(h.dir, logName) }

func (h *home) password() (string, error) {
	password, err := os.ReadFile(filepath.Join(h.dir, passwordName))
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return strings.TrimSpace(string(password)), nil
}

// release gives the folder up, and removes it if it was temporary.
func (h *home) release() error {
	var err error
	if h.temporary {
		err = unmountDisk(h.data())
		if removeErr := removeHome(h.dir); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("remove home: %w", removeErr))
		}
	}
	return errors.Join(err, h.held.release())
}

// removeHome removes a home, with its lock held by the caller. The lock file goes last, because a
// sweep removes a folder without one.
func removeHome(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err = nil
	for _, entry := range entries {
		if entry.Name() != lockName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// initialise fills dir with a database cluster and a random password for its superuser. Every
// connection needs the password, because other users of the machine can reach a loopback port too.
func initialise(ctx context.Context, dir string, server programs, as account) error {
	if err := as.enter(dir); err != nil {
		return err
	}
	password := filepath.Join(dir, passwordName)
	if err := os.WriteFile(password, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return fmt.Errorf("write password: %w", err)
	}
	data := filepath.Join(dir, dataName)
	if err := os.Mkdir(data, 0o700); err != nil {
		return fmt.Errorf("create data folder: %w", err)
	}
	if err := errors.Join(as.own(password), as.own(data)); err != nil {
		return err
	}
	//nolint:gosec // G204: programs that findPrograms chose, with arguments of ours
	cmd := exec.CommandContext(ctx, server.initdb, "--pgdata", data, "--username", Superuser, "--pwfile", password,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	cmd.SysProcAttr = as.attributes()
	cmd.Dir, cmd.Env = data, serverEnvironment()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("initialise a database cluster with %s: %w: %s", server.initdb, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// serverEnvironment returns the present environment without the variables of PostgreSQL (PGDATA,
// PGPORT and others), in a locale that every system has.
func serverEnvironment() []string {
	var kept []string
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "PG") || strings.HasPrefix(entry, "LC_") || strings.HasPrefix(entry, "LANG") {
			continue
		}
		kept = append(kept, entry)
	}
	return append(kept, "LC_ALL=C", "TZ=UTC")
}

// copyHome copies the password and the data of a template, giving the copies to the account. A data
// folder holds only folders and regular files.
func copyHome(from, to string, as account) error {
	for _, name := range []string{passwordName, dataName} {
		err := filepath.WalkDir(filepath.Join(from, name), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			relative, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			target := filepath.Join(to, relative)
			if entry.IsDir() {
				if err = os.Mkdir(target, 0o700); errors.Is(err, os.ErrExist) {
					err = nil // a file system was mounted there
				}
			} else {
				err = copyFile(path, target)
			}
			if err != nil {
				return err
			}
			return as.own(target)
		})
		if err != nil {
			return fmt.Errorf("copy template: %w", err)
		}
	}
	return nil
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
