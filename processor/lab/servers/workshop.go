package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Names inside a workshop and inside a home.
const (
	lockName     = "lock"
	dataName     = "data"
	passwordName = "password"
	logName      = "server.log"
	homePrefix   = "run-"
)

// workshop is the folder of all temporary servers of one user and of the templates for PostgreSQL
// servers. Its lock serializes additions and removals across processes.
type workshop struct{ dir string }

// openWorkshop creates the folder if it is missing. Others can guess its name, so openWorkshop
// refuses a folder that another user owns or can write to.
func openWorkshop() (workshop, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("tender-%d", os.Geteuid()))
	// Passable for others, since the servers of root run as another user. The content is closed.
	if err := os.Mkdir(dir, 0o711); err != nil && !errors.Is(err, os.ErrExist) { //nolint:gosec // G301: see above
		return workshop{}, fmt.Errorf("create workshop: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return workshop{}, fmt.Errorf("look at workshop: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return workshop{}, fmt.Errorf("workshop %s is not a folder of ours alone: remove it, or set TMPDIR to another place", dir)
	}
	return workshop{dir: dir}, nil
}

// locked runs do while this process alone may change the workshop.
func (w workshop) locked(ctx context.Context, do func() error) (err error) {
	held, err := waitLock(ctx, filepath.Join(w.dir, lockName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.release()) }()
	return do()
}

// newHome makes a home for one temporary server and calls furnish to fill it. Before, it removes
// the homes of dead processes.
func (w workshop) newHome(ctx context.Context, as account, furnish func(dir string) error) (made *home, err error) {
	err = w.locked(ctx, func() error {
		if err := w.sweep(); err != nil {
			return err
		}
		dir, err := os.MkdirTemp(w.dir, homePrefix)
		if err != nil {
			return fmt.Errorf("create home: %w", err)
		}
		if made, err = claimHome(dir); err != nil {
			return errors.Join(err, os.RemoveAll(dir))
		}
		made.temporary = true
		if err := errors.Join(as.enter(dir), furnish(dir)); err != nil {
			return errors.Join(err, made.release())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// template returns the folder of an initialised, never started database cluster for these programs
// and this account. Making one takes a second or two, copying it a tenth. The caller holds the
// workshop's lock.
func (w workshop) template(ctx context.Context, server programs, as account) (string, error) {
	dir := filepath.Join(w.dir, fmt.Sprintf("postgres-%s-%d", server.version, as.uid))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	draft, err := os.MkdirTemp(w.dir, homePrefix)
	if err != nil {
		return "", fmt.Errorf("create template: %w", err)
	}
	if err := initialise(ctx, draft, server, as); err != nil {
		return "", errors.Join(err, os.RemoveAll(draft))
	}
	// Renamed when whole, so that a template is whole whenever it is seen.
	if err := os.Rename(draft, dir); err != nil {
		return "", fmt.Errorf("put template in place: %w", err)
	}
	return dir, nil
}

// sweep removes homes that no living process holds. It needs the lock of the workshop. Homes are
// also made and locked under that lock, so a home without a lock holder is abandoned.
func (w workshop) sweep() error {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return fmt.Errorf("read workshop: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), homePrefix) {
			continue
		}
		if err := sweepHome(filepath.Join(w.dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// sweepHome removes a home unless a process uses it. It must not create a lock file: a process
// that is about to remove the home would find the folder filled again.
func sweepHome(dir string) (err error) {
	held, err := tryLockThere(filepath.Join(dir, lockName))
	switch {
	case errors.Is(err, errLocked):
		return nil
	case errors.Is(err, os.ErrNotExist): // an unfinished template, or a home without its lock file
	case err != nil:
		return err
	default:
		defer func() { err = errors.Join(err, held.release()) }()
	}
	// A server that is still going down may write between listing and removing; the next sweep
	// finishes the work.
	_ = errors.Join(unmountDisk(filepath.Join(dir, dataName)), os.RemoveAll(dir))
	return nil
}
