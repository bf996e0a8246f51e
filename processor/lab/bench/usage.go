package bench

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is the resource usage of a process since its start.
type Usage struct {
	CPU    time.Duration
	RSSMax int64 // bytes
}

// OwnUsage returns the usage of this process.
func OwnUsage() Usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return Usage{} // it knows no error for this argument
	}
	return Usage{CPU: time.Duration(r.Utime.Nano() + r.Stime.Nano()), RSSMax: rssMax(r)}
}

// rssMax reads the peak memory from /proc on Linux, since getrusage includes the parent from
// before the exec.
func rssMax(r syscall.Rusage) int64 {
	if fields := strings.Fields(valueIn("/proc/self/status", "VmHWM")); len(fields) == 2 {
		kilobytes, _ := strconv.ParseInt(fields[0], 10, 64) // the kernel writes numbers
		return kilobytes << 10
	}
	if runtime.GOOS == "darwin" {
		return r.Maxrss
	}
	return r.Maxrss << 10
}

// tick is the unit of CPU times in /proc, the same on every Linux.
const tick = 10 * time.Millisecond

// CPUOf returns the CPU time of a process, false where the system does not tell.
func CPUOf(pid int) (time.Duration, bool) {
	s, ok := readStat(pid)
	return s.own, ok
}

// ParentOf returns the parent of a process, 0 where the system does not tell.
func ParentOf(pid int) int {
	s, _ := readStat(pid)
	return s.parent
}

// CPUOfFamily returns the CPU time of a process and all its children, ended ones included; false
// where the system does not tell.
func CPUOfFamily(pid int) (time.Duration, bool) {
	parent, ok := readStat(pid)
	if !ok {
		return 0, false
	}
	total := parent.own + parent.ended
	stats, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, false
	}
	for _, path := range stats {
		child, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		if s, ok := readStat(child); ok && s.parent == pid {
			total += s.own
		}
	}
	return total, true
}

// stat is the status of a process in /proc.
type stat struct {
	parent     int
	own, ended time.Duration
}

func readStat(pid int) (stat, bool) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	// The name in parentheses may contain any character.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const parent, user, system, endedUser, endedSystem = 1, 11, 12, 13, 14
	if len(fields) <= endedSystem {
		return stat{}, false
	}
	number := func(field int) int64 {
		n, _ := strconv.ParseInt(fields[field], 10, 64) // the kernel writes numbers
		return n
	}
	return stat{
		parent: int(number(parent)), own: time.Duration(number(user)+number(system)) * tick,
		ended: time.Duration(number(endedUser)+number(endedSystem)) * tick,
	}, true
}
