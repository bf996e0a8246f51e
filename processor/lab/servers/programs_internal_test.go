package servers

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewestVersionComesFirst(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var want []string
	for _, version := range []string{"17", "15.2", "9.6", "latest"} {
		folder := filepath.Join(root, "postgresql@"+version, "bin")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		want = append(want, folder)
	}
	got := newestFirst(filepath.Join(root, "postgresql@*", "bin"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestDatabaseNameFitsAndTells(t *testing.T) {
	t.Parallel()
	const long = "TestRefund/a third part, of 60.00 — refused/because the first two took everything"
	name := databaseName(long)
	if len(name) > 63 || name[:10] != "testrefund" {
		t.Errorf("name %q has %d bytes, want at most 63 and the test's name in front", name, len(name))
	}
	if databaseName(long) == name {
		t.Errorf("the same name twice: %q", name)
	}
}

func TestClosedFolderIsNamed(t *testing.T) {
	t.Parallel()
	closed := filepath.Join(t.TempDir(), "closed")
	inside := filepath.Join(closed, "inside")
	if err := os.MkdirAll(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	stranger := account{name: "stranger", uid: 1<<31 - 2, gid: 1<<31 - 2, other: true}
	if err := stranger.reach(inside); err == nil {
		t.Error("a stranger reaches into a closed folder")
	}
}

func TestToolIsFoundBesideTheServersOrNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	beside := filepath.Join(dir, "pg_dump")
	if err := os.WriteFile(beside, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	installed := programs{initdb: filepath.Join(dir, "initdb")}
	if found, err := installed.tool("pg_dump"); err != nil || found != beside {
		t.Errorf("found %s (%v), want %s", found, err, beside)
	}
	if _, err := installed.tool("pg_nothing"); !errors.Is(err, ErrToolMissing) || !strings.Contains(err.Error(), "pg_nothing") {
		t.Errorf("a program that is not there: %v, want ErrToolMissing that names it", err)
	}
}
