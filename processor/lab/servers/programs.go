package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrPostgresMissing means that this machine has no server programs of PostgreSQL. The wrapping
// error of [StartPostgres] lists the folders that were searched, and the commands to install them.
var ErrPostgresMissing = errors.New("no PostgreSQL server programs found")

// programs are the server programs of one PostgreSQL installation.
type programs struct {
	initdb   string
	postgres string
	version  string // as postgres prints it, e.g. "15.18"
}

// usualPlaces lists folders of server programs that are not on PATH, in order of preference. Of
// several folders that match one pattern, the newest version wins.
func usualPlaces() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                   // RHEL, Fedora (PGDG)
		"/opt/homebrew/opt/postgresql@*/bin",                 // Homebrew, Apple silicon
		"/opt/homebrew/opt/postgresql/bin",                   //
		"/usr/local/opt/postgresql@*/bin",                    // Homebrew, Intel
		"/usr/local/opt/postgresql/bin",                      //
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",    // Homebrew, Linux
		"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
		"/usr/libexec/postgresql*",                           // Alpine
		"/usr/local/pgsql/bin",                               // built from source
		"/usr/lib/postgresql/bin",                            // SUSE
		"/usr/local/bin",                                     // FreeBSD, when PATH is short
	}
}

// findPrograms looks in bin if it is given, else on PATH, else in the usual places.
func findPrograms(ctx context.Context, bin string) (programs, error) {
	if bin != "" {
		found, ok := programsIn(bin)
		if !ok {
			return programs{}, fmt.Errorf("%w: %s holds no initdb and postgres", ErrPostgresMissing, bin)
		}
		return found.withVersion(ctx)
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(initdb); err == nil {
			if found, ok := programsIn(filepath.Dir(target)); ok {
				return found.withVersion(ctx)
			}
		}
	}
	for _, pattern := range usualPlaces() {
		for _, folder := range newestFirst(pattern) {
			if found, ok := programsIn(folder); ok {
				return found.withVersion(ctx)
			}
		}
	}
	return programs{}, fmt.Errorf("%w: looked on PATH and in %s; run `make postgres`, or install them: "+
		"Debian and Ubuntu `apt-get install postgresql`, Fedora and RHEL `dnf install postgresql-server`, "+
		"macOS `brew install postgresql@17`", ErrPostgresMissing, strings.Join(usualPlaces(), ", "))
}

func programsIn(folder string) (programs, bool) {
	found := programs{
		initdb:   filepath.Join(folder, "initdb"),
		postgres: filepath.Join(folder, "postgres"),
	}
	return found, executable(found.initdb) && executable(found.postgres)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// newestFirst sorts the folders that match the pattern by the first number in place of its star.
func newestFirst(pattern string) []string {
	folders, err := filepath.Glob(pattern)
	if err != nil {
		panic(fmt.Sprintf("pattern %q is not a pattern: %v", pattern, err))
	}
	prefix, _, _ := strings.Cut(pattern, "*")
	major := func(folder string) int {
		rest := strings.TrimPrefix(folder, prefix)
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if end >= 0 {
			rest = rest[:end]
		}
		n, err := strconv.Atoi(rest)
		if err != nil {
			return 0 // a folder named otherwise, such as Postgres.app's "latest"
		}
		return n
	}
	slices.SortStableFunc(folders, func(a, b string) int { return major(b) - major(a) })
	return folders
}

// withVersion asks the server program for its version, which selects the template.
func (p programs) withVersion(ctx context.Context) (programs, error) {
	//nolint:gosec // G204: a program that was found in a place for PostgreSQL
	out, err := exec.CommandContext(ctx, p.postgres, "--version").Output()
	if err != nil {
		return programs{}, fmt.Errorf("ask %s for its version: %w", p.postgres, err)
	}
	// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
	words := strings.Fields(string(out))
	if len(words) < 3 {
		return programs{}, fmt.Errorf("%s --version says %q, which names no version", p.postgres, out)
	}
	p.version = words[2]
	return p, nil
}
