//go:build unix && !linux

package servers

import "fmt"

// mountDisk has no counterpart outside Linux.
func mountDisk(string, int) error {
	return fmt.Errorf("%w: Linux alone has what it takes", ErrNoSmallDisk)
}

func unmountDisk(string) error { return nil }
