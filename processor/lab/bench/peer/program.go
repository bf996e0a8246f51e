package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// stopLimit is how long a program that is asked to stop may take.
const stopLimit = 20 * time.Second

// runProgram returns what a program writes to its standard output. What it writes to the other goes where this program's does.
func runProgram(ctx context.Context, command []string) ([]byte, error) {
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // G204: what the caller asked for
	cmd.Stdout, cmd.Stderr = &output, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopLimit
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run %s: %w", command[0], err)
	}
	return output.Bytes(), nil
}
