//go:build !linux

package bolt

// holder names the process that holds the lock of a file, where the operating system allows it.
func holder(string) string { return "another process" }
