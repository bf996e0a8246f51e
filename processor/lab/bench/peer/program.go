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

// stopLimit is the limit for a program to stop.
const stopLimit = 20 * time.Second

// runProgram runs a program and returns its standard output. The program shares the standard error
// of this one.
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
