//go:build !(amd64 || arm64 || loong64 || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x) || windows

package bolt

// mapSize is 0 where address space is short, and on Windows, where a mapped file grows to the size of its map.
const mapSize = 0
