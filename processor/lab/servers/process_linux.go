package servers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// dieWithParent asks the kernel to send the signal to the program when the thread that started it
// ends.
func dieWithParent(attributes *syscall.SysProcAttr, signal syscall.Signal) {
	attributes.Pdeathsig = signal
}

// stopped reports whether every thread of a process is stopped or gone.
func stopped(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		panic(fmt.Sprintf("a pattern of numbers: %v", err))
	}
	for _, thread := range threads {
		if fields := statFields(thread); len(fields) > 0 && !bytes.Contains([]byte("TtZX"), fields[0]) {
			return false
		}
	}
	return true
}

// childrenOf returns the processes that a process started itself.
func childrenOf(parent int) ([]int, error) {
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var children []int
	for _, process := range processes {
		fields := statFields(process)
		if len(fields) < 2 || string(fields[1]) != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(process)))
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		children = append(children, pid)
	}
	return children, nil
}

// statFields returns the fields of /proc/PID/stat from the state on, or nothing for a process that
// is gone. The name before the state may contain any character.
func statFields(path string) [][]byte {
	stat, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
}
