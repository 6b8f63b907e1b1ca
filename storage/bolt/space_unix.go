//go:build !windows

package bolt

import (
	"errors"
	"syscall"
)

// full reports whether a write failed for want of room: the disk, the quota, or the permitted size of a file.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
