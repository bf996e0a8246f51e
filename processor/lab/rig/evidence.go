package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Preserve adds a dump of the database and the logs of its servers to the evidence, which Close would take away. What a
// person brought along stays with them.
func (l *Lab) Preserve(ctx context.Context) error {
	if l.postgres == nil {
		return nil
	}
	errs := []error{l.postgres.Dump(ctx, database, filepath.Join(l.dir, "evidence.dump"))}
	for i, server := range append(l.retired, l.postgres) {
		text, err := os.ReadFile(server.Log())
		if err == nil {
			err = os.WriteFile(filepath.Join(l.dir, "postgres-"+strconv.Itoa(i+1)+".log"), text, 0o600) //nolint:gosec // G703: a file in the folder of evidence
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("preserve the evidence: %w", err)
	}
	return nil
}
