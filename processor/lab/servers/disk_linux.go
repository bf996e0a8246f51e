package servers

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// mountDisk makes a folder with a separate file system, in memory.
func mountDisk(dir string, sizeMB int) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: to mount one takes root", ErrNoSmallDisk)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make a place for a file system: %w", err)
	}
	if err := syscall.Mount("tender", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%dm,mode=0700", sizeMB)); err != nil {
		return fmt.Errorf("%w: mount %s: %w", ErrNoSmallDisk, dir, err)
	}
	return nil
}

// unmountDisk removes such a file system with its content, even if it is in use. A missing folder,
// or one without a file system, is no error.
func unmountDisk(dir string) error {
	const noFollow = 8 // UMOUNT_NOFOLLOW
	err := syscall.Unmount(dir, syscall.MNT_DETACH|noFollow)
	if err == nil || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOENT) || os.Geteuid() != 0 {
		return nil
	}
	return fmt.Errorf("unmount %s: %w", dir, err)
}
