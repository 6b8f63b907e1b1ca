package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// owner names the process that listens on a port of this machine, as far as we may know.
func owner(port int) string {
	const unknown = "another program"
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			// Local address, …, state 0A (listening), …, inode of the socket.
			if len(f) < 10 || f[3] != "0A" || !strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				continue
			}
			if name := holder("socket:[" + f[9] + "]"); name != "" {
				return name
			}
		}
	}
	return unknown
}

// holder names the process with an open descriptor of that name.
func holder(socket string) string {
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is well formed
	for _, fd := range descriptors {
		if to, err := os.Readlink(fd); err != nil || to != socket {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return "process " + pid
		}
		return strings.TrimSpace(string(name)) + " (process " + pid + ")"
	}
	return ""
}
