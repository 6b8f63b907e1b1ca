//go:build linux || darwin || freebsd

package bolt

import (
	"os"

	"golang.org/x/sys/unix"
)

// free returns how many bytes an ordinary user may still write below a directory.
func free(dir string) (bytes uint64, known bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return uint64(max(0, st.Bavail)) * uint64(st.Bsize), true, nil //nolint:gosec,unconvert // their types differ by system
}
