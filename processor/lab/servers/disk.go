package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

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
