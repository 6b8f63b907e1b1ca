package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mebi is a MiB.
const mebi = 1 << 20

// group is a group of processes (cgroup) whose memory is limited. nil is none.
type group struct {
	dir string
	// peakFile holds the most that the group has taken, killFile counts whom the system has killed for it.
	peakFile, killFile string
}

// newGroup makes a group with a limit in MiB, swap included where the system counts it.
func newGroup(name string, limit int) (*group, error) {
	const (
		first  = "/sys/fs/cgroup/memory" // cgroup v1
		second = "/sys/fs/cgroup"
	)
	g := &group{filepath.Join(first, name), "memory.max_usage_in_bytes", "memory.oom_control"}
	limitFile, swapFile, swap := "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", strconv.Itoa(limit*mebi)
	if _, err := os.Stat(filepath.Join(first, limitFile)); err != nil {
		g = &group{filepath.Join(second, name), "memory.peak", "memory.events"}
		limitFile, swapFile, swap = "memory.max", "memory.swap.max", "0"
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil { //nolint:gosec // as the system's own
		return nil, err
	}
	if err := g.set(limitFile, strconv.Itoa(limit*mebi)); err != nil {
		g.remove()
		return nil, err
	}
	_ = g.set(swapFile, swap) // not there without swap
	return g, nil
}

// set writes to a file of the group that is there already.
func (g *group) set(name, value string) error {
	f, err := os.OpenFile(filepath.Join(g.dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

// around returns a program that is in the group before it becomes p: what a process takes before it comes into a group is not
// counted there.
func (g *group) around(p *program) *program {
	if g == nil {
		return p
	}
	args := append([]string{"-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs"), p.path}, p.args...)
	return &program{path: "/bin/sh", args: args, env: p.env}
}

// peak is the most memory that the group has taken, in MiB: what the kernel holds for it and pages of files included.
func (g *group) peak() (float64, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, g.peakFile))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	return n / mebi, err
}

// killed returns an error when the system has killed a process of the group for its memory.
func (g *group) killed() error {
	if g == nil {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(g.dir, g.killFile))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if n, found := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); found && n != "0" {
			return fmt.Errorf("killed for its memory %s times", n)
		}
	}
	return nil
}

// remove removes the group once its processes have ended.
func (g *group) remove() { _ = os.Remove(g.dir) }
