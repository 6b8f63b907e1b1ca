package bolt

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// holder names the process that holds the lock of a file, from /proc/locks.
func holder(path string) string {
	const unknownHolder = "another process"
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return unknownHolder
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return unknownHolder
	}
	for pid, device := range lockHolders(string(locks), st.Ino) {
		// Some file systems show another device number here than to stat: then the process's own descriptors decide.
		if device != fmt.Sprintf("%02x:%02x", unix.Major(st.Dev), unix.Minor(st.Dev)) && !hasOpen(pid, path) {
			continue
		}
		if pid == os.Getpid() {
			return fmt.Sprintf("this process (%d)", pid)
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			return fmt.Sprintf("process %d", pid)
		}
		return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name)))
	}
	return unknownHolder
}

// lockHolders reads lines such as "3: FLOCK  ADVISORY  WRITE 4711 fd:00:1048602 0 EOF" and returns the device number by process
// for the locks on an inode.
func lockHolders(locks string, inode uint64) map[int]string {
	holders := map[int]string{}
	for line := range strings.Lines(locks) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" { // a waiter has "->" there
			continue
		}
		i := strings.LastIndexByte(f[5], ':')
		pid, err := strconv.Atoi(f[4])
		if i < 0 || f[5][i+1:] != strconv.FormatUint(inode, 10) || err != nil || pid <= 0 {
			continue
		}
		holders[pid] = f[5][:i]
	}
	return holders
}

// hasOpen reports whether a process has the file open, as far as we may know.
func hasOpen(pid int, path string) bool {
	want, err := os.Stat(path)
	if err != nil {
		return false
	}
	descriptors, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, d := range descriptors {
		if got, err := os.Stat(d); err == nil && os.SameFile(got, want) {
			return true
		}
	}
	return false
}
