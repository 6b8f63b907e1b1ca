package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf returns the CPU time that a process has taken so far, in the system's own nanoseconds: /proc/<pid>/stat counts in
// hundredths of a second only. The clock of another process is numbered as clock_getcpuclockid(3) does.
func cpuOf(pid int) (time.Duration, error) {
	const scheduled = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|scheduled, &t); err != nil { //nolint:gosec // a pid fits
		return 0, fmt.Errorf("the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// memoryOf returns what a process holds of memory.
func memoryOf(pid int) (m memory, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return m, err
	}
	const kilo = 1.0 / 1024
	return memory{
		own: field(text, "RssAnon") * kilo, resident: field(text, "VmRSS") * kilo, peak: field(text, "VmHWM") * kilo,
	}, nil
}

// raiseFiles lets this process and its children hold so many files and connections.
func raiseFiles(many int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = max(limit.Cur, uint64(many)) //nolint:gosec // above zero
	limit.Max = max(limit.Max, limit.Cur)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("ulimit -n %d is needed: %w", many, err)
	}
	return nil
}

// written returns how many bytes this process has written so far, to whatever.
func written() (float64, error) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, errNoAccounting
	}
	return field(text, "wchar"), nil
}

// field finds a number in a file of lines like "name: 12 kB".
func field(text []byte, name string) float64 {
	_, rest, _ := bytes.Cut(append([]byte("\n"), text...), []byte("\n"+name+":"))
	line, _, _ := strings.Cut(string(rest), "\n")
	n, _ := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 64)
	return n
}

// load says how busy the machine is: a figure from a busy one is worth less.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), " ")
	return "load average " + first
}
