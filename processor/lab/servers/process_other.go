//go:build unix && !linux

package servers

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
)

// dieWithParent has no counterpart outside Linux: there a server whose parent was killed runs on until it is stopped
// by hand, and a start on the same folder says so.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// stopped takes the kernel at its word.
func stopped(int) bool { return true }

// childrenOf returns the processes that a process started itself.
func childrenOf(parent int) ([]int, error) {
	list, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output() //nolint:noctx // ends at once
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var children []int
	for line := range bytes.Lines(list) {
		fields := bytes.Fields(line)
		if len(fields) != 2 || string(fields[1]) != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(string(fields[0]))
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		children = append(children, pid)
	}
	return children, nil
}
