package postgres

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// node says which node a process is. It is the same one after a crash, and no other process has it at the same time: the file of its id is
// locked by the operating system until the process ends.
type node struct {
	id   string
	file *os.File
}

// openNode reads the id of a node from its file, or makes both. A process that finds the file locked is another node, as is one without a
// file, or on a system that locks none.
func openNode(path string) (n node, err error) {
	n.id = rand.Text()
	if path == "" || !locksFiles {
		return n, nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("the id of this node, which takes the database back after a crash, cannot be kept: %w: let Caddy's user write there", err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return n, err
	}
	n.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the path is the operator's
	if err != nil {
		return n, err
	}
	if locked, err := lockFile(n.file); err != nil || !locked {
		return n, errors.Join(err, n.close())
	}
	text, err := io.ReadAll(io.LimitReader(n.file, 100))
	if err != nil {
		return n, errors.Join(err, n.close())
	}
	if id := strings.TrimSpace(string(text)); id != "" {
		n.id = id
		return n, nil
	}
	if _, err = n.file.WriteString(n.id + "\n"); err == nil {
		err = n.file.Sync()
	}
	if err != nil {
		err = errors.Join(err, n.close())
	}
	return n, err
}

// close frees the file.
func (n *node) close() error {
	if n.file == nil {
		return nil
	}
	err := n.file.Close()
	n.file = nil
	return err
}
