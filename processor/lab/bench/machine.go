package bench

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Machine is the machine of a benchmark. Unknown values are empty.
type Machine struct {
	CPU      string  `json:"cpu" doc:"the processor, as it names itself"`
	CPUs     int     `json:"cpus" doc:"processors that the system shows"`
	Memory   int64   `json:"memory_bytes" doc:"memory in all"`
	System   string  `json:"system" doc:"operating system, its version, and architecture"`
	Go       string  `json:"go" doc:"version of Go"`
	Load     float64 `json:"load" doc:"the system's load average over a minute, before the benchmark began: what else ran"`
	SyncTime float64 `json:"sync_ms" doc:"milliseconds that writing 4 KiB through to the disk takes, in half of the cases"`
}

// ThisMachine describes this machine. It writes a file in dir to measure the disk.
func ThisMachine(dir string, now func() time.Time) (Machine, error) {
	m := Machine{CPUs: runtime.NumCPU(), System: runtime.GOOS + " " + runtime.GOARCH, Go: runtime.Version()}
	if release := firstLine("/proc/sys/kernel/osrelease"); release != "" {
		m.System = runtime.GOOS + " " + release + " " + runtime.GOARCH
	}
	m.CPU = valueIn("/proc/cpuinfo", "model name")
	if fields := strings.Fields(valueIn("/proc/meminfo", "MemTotal")); len(fields) == 2 {
		kilobytes, _ := strconv.ParseInt(fields[0], 10, 64) // zero is not known
		m.Memory = kilobytes << 10
	}
	if fields := strings.Fields(firstLine("/proc/loadavg")); len(fields) > 0 {
		m.Load, _ = strconv.ParseFloat(fields[0], 64)
	}
	took, err := syncTime(dir, now)
	m.SyncTime = millis(took)
	return m, err
}

// syncTime is the median of several synchronous writes.
func syncTime(dir string, now func() time.Time) (time.Duration, error) {
	const tries, size = 31, 4096
	file, err := os.CreateTemp(dir, "tender-bench-")
	if err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	times := make([]time.Duration, 0, tries)
	for range tries {
		began := now()
		if _, err := file.Write(make([]byte, size)); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		if err := file.Sync(); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		times = append(times, now().Sub(began))
	}
	slices.Sort(times)
	return times[tries/2], nil
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "" // another system
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// valueIn returns the first value of that name in a file of "name: value" lines.
func valueIn(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "" // another system
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
