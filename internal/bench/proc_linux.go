package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// errNoAccounting says that this system does not tell what a process takes.
var errNoAccounting = errors.New("not available here")

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

// memoryOf returns what a process holds of memory now and held at most, in bytes.
func memoryOf(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) int64 {
		_, rest, _ := bytes.Cut(text, []byte("\n"+name+":"))
		line, _, _ := strings.Cut(string(rest), " kB")
		n, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		return n << 10
	}
	return field("VmRSS"), field("VmHWM"), nil
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
