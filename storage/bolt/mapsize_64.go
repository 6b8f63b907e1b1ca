//go:build (amd64 || arm64 || loong64 || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x) && !windows

package bolt

// mapSize is the address space that is reserved for the file from the start. While the file fits, it never has to be mapped
// anew, which would wait for running Views and for a Backup. It is address space only: neither memory nor disk.
const mapSize = 1 << 30
