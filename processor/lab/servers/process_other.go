//go:build unix && !linux

package servers

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
)

// dieWithParent does nothing outside Linux: a server with a killed parent runs until an operator
// stops it, and a start on the same folder reports it.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// stopped trusts the signal.
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
