package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// errLocked means that another process holds the lock.
var errLocked = errors.New("locked by another process")

// lock is an advisory lock on a file. The kernel releases it when its process ends in any way, so
// the lock also shows that the process lives. The value must stay reachable while the lock is
// needed.
type lock struct{ file *os.File }

// tryLock takes the lock or returns errLocked at once. The file is created if it is missing.
func tryLock(path string) (*lock, error) { return takeLock(path, os.O_RDWR|os.O_CREATE) }

// tryLockThere is tryLock for an existing file. It returns os.ErrNotExist for a missing one.
func tryLockThere(path string) (*lock, error) { return takeLock(path, os.O_RDWR) }

func takeLock(path string, flag int) (*lock, error) {
	file, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return &lock{file: file}, nil
	}
	if closeErr := file.Close(); closeErr != nil {
		return nil, fmt.Errorf("close lock %s: %w", path, closeErr)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s: %w", path, errLocked)
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// waitLock takes the lock as soon as it is free.
func waitLock(ctx context.Context, path string) (*lock, error) {
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		held, err := tryLock(path)
		if !errors.Is(err, errLocked) {
			return held, err
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %w: %w", err, ctx.Err())
		}
	}
}

// release unlocks before it closes: a process that another goroutine starts at this moment holds a
// copy of the file between its fork and its exec, and with a close alone the lock as well.
func (l *lock) release() error {
	if err := errors.Join(syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close()); err != nil {
		return fmt.Errorf("release lock %s: %w", l.file.Name(), err)
	}
	return nil
}
