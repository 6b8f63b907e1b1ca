package bolt

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Capacity returns how many bytes a database at a path may take: those of the file, if there is one, and those that are free on its disk. known is
// false on systems that are not asked.
func Capacity(path string) (bytes uint64, known bool, err error) {
	if path, err = Canonical(path); err != nil {
		return 0, false, err
	}
	if info, err := os.Stat(path); err == nil {
		bytes = uint64(info.Size()) //nolint:gosec // not negative
	}
	dir := filepath.Dir(path)
	for {
		free, known, err := free(dir)
		if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
			dir = parent // it will be made
			continue
		}
		return bytes + free, known, err
	}
}
