//go:build !linux && !darwin && !freebsd

package bolt

// free does not ask this system.
func free(string) (bytes uint64, known bool, err error) { return 0, false, nil }
