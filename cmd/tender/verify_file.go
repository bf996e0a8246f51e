package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// progressFile is where a check keeps how far it is; "" keeps nothing.
type progressFile string

// read returns what an interrupted check left, nil if there is none.
func (f progressFile) read() (*books.CheckState, error) {
	if f == "" {
		return nil, nil //nolint:nilnil // nothing to go on from is no error
	}
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, usageError("read progress: %w", err)
	}
	var state books.CheckState
	if err := json.Unmarshal(text, &state); err != nil {
		return nil, usageError("%s does not hold the progress of a check: %w", string(f), err)
	}
	return &state, nil
}

// write replaces the file whole, so that a crash leaves the one or the other.
func (f progressFile) write(state *books.CheckState) error {
	if f == "" {
		return nil
	}
	text, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode progress: %w", err)
	}
	beside := string(f) + ".new"
	if err := os.WriteFile(beside, text, 0o600); err != nil {
		return err
	}
	return os.Rename(beside, string(f))
}

func (f progressFile) remove() error {
	if f == "" {
		return nil
	}
	if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove progress: %w", err)
	}
	return nil
}
