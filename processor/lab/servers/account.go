package servers

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user of the PostgreSQL server: the present user, or for root an unprivileged one,
// since PostgreSQL refuses to run as root.
type account struct {
	name     string
	uid, gid int
	other    bool // not the present user: files change their owner, and the server starts under this account
}

// serverAccount picks the account: the present user, or for root the user postgres, which packages
// of Debian and others create, or else the user "nobody".
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{name: strconv.Itoa(os.Geteuid()), uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	var problems []error
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		uid, uidErr := strconv.Atoi(found.Uid)
		gid, gidErr := strconv.Atoi(found.Gid)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return account{}, fmt.Errorf("read the ids of user %s: %w", name, err)
		}
		return account{name: name, uid: uid, gid: gid, other: true}, nil
	}
	return account{}, fmt.Errorf("find an unprivileged user for PostgreSQL, which refuses root: %w", errors.Join(problems...))
}

// attributes start a program under the account and in a separate process group. A Ctrl-C at the
// terminal then reaches only this process, which stops the server in order, after its clients.
func (a account) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if a.other {
		//nolint:gosec // G115: ids of the user database, which are never negative
		attributes.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attributes
}

// own makes the account the owner of the path.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	if err := os.Chown(path, a.uid, a.gid); err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, a.name, err)
	}
	return nil
}

// enter lets the account pass through a folder of the present user to its files inside.
func (a account) enter(dir string) error {
	if !a.other {
		return nil
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // G302: passable, not readable
		return fmt.Errorf("open %s to user %s: %w", dir, a.name, err)
	}
	return a.reach(dir)
}

// reach returns an error that names a folder on the path to dir that is closed to the account,
// such as the home of root. Without this check the server would only report "permission denied".
func (a account) reach(dir string) error {
	if !a.other {
		return nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", dir, err)
	}
	for folder := abs; ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil {
			return fmt.Errorf("look at %s: %w", folder, err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return fmt.Errorf("look at %s: no owner known", folder)
		}
		bits := info.Mode().Perm()
		open := bits&0o001 != 0 ||
			bits&0o100 != 0 && int(stat.Uid) == a.uid ||
			bits&0o010 != 0 && int(stat.Gid) == a.gid
		if !open {
			return fmt.Errorf("folder %s (mode %04o) is closed to user %s, whom PostgreSQL runs as: choose another place for %s",
				folder, bits, a.name, dir)
		}
		if folder == filepath.Dir(folder) {
			return nil
		}
	}
}
