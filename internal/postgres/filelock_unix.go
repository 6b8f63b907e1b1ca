//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package postgres

import (
	"errors"
	"os"
	"syscall"
)

const locksFiles = true

// lockFile locks a file until it is closed. It reports false if another process has locked it.
func lockFile(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor fits
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
