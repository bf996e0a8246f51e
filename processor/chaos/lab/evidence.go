package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
			err = os.WriteFile(filepath.Join(l.dir, fmt.Sprintf("postgres-%d.log", i+1)), text, 0o600)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("preserve the evidence: %w", err)
	}
	return nil
}
