package faulty

import (
	"errors"
	"fmt"
	"os"
)

// FlipBits flips one bit of a file at each of n places, as a disk that lies does. intn chooses the
// places and the bits: it returns a number from 0 up to below its argument. A file without content
// stays as it is.
func FlipBits(path string, n int, intn func(int) int) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("flip bits: %w", err)
	}
	if len(text) == 0 {
		return nil
	}
	for range n {
		text[intn(len(text))] ^= 1 << intn(8)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteAt(text, 0)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("flip bits: %w", err)
	}
	return nil
}

// Shorten takes the last bytes off a file, as a disk that lost its latest writes does. A file with
// fewer becomes empty.
func Shorten(path string, bytes int64) error {
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, max(0, info.Size()-bytes))
	}
	if err != nil {
		return fmt.Errorf("shorten a file: %w", err)
	}
	return nil
}
