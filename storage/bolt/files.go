package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"go.etcd.io/bbolt"
)

// create makes a new database under a temporary name and gives it its name in one step, so that a crash leaves no half-made
// file behind. Losing a race against another process is no error.
func create(path string) error {
	f, err := tempFile(path, newSuffix)
	if err != nil {
		return err
	}
	temp := f.Name()
	defer func() { _ = os.Remove(temp) }()
	if err := f.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(temp, 0o600, &bbolt.Options{Timeout: lockSlice, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = db.Update(func(btx *bbolt.Tx) error {
		for _, name := range bucketNames {
			if _, err := btx.CreateBucket(name); err != nil {
				return err
			}
		}
		return btx.Bucket(bucketNames[bFile]).Put(schemaKey, binary.BigEndian.AppendUint32(nil, schema))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := publish(temp, path); err != nil {
		if _, lost := os.Stat(path); lost == nil {
			return nil
		}
		return err
	}
	return syncDir(filepath.Dir(path))
}

// publish gives a finished file its name without ever replacing another. Where the file system has no hard links it copies.
func publish(temp, path string) error {
	err := os.Link(temp, path)
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	content, err := os.ReadFile(temp)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, narrow(f), fsync(f), f.Close())
}

// Suffixes of temporary files beside the database.
const (
	newSuffix    = ".new-"
	backupSuffix = ".backup-"
)

// tempFile creates a temporary file beside the database, readable by its owner only under any umask.
func tempFile(path, suffix string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+suffix+"*")
	if err != nil {
		return nil, err
	}
	if err := narrow(f); err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

// removeLeftovers removes temporary files of a process that was killed. The caller owns the database.
func removeLeftovers(path string) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Type().IsRegular() &&
			(strings.HasPrefix(e.Name(), base+newSuffix) || strings.HasPrefix(e.Name(), base+backupSuffix)) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// narrow makes a file readable and writable by its owner only.
func narrow(f *os.File) error {
	if runtime.GOOS == "windows" {
		return nil // access follows the directory's list there
	}
	info, err := f.Stat()
	if err != nil || info.Mode().Perm() == 0o600 {
		return err
	}
	if err := f.Chmod(0o600); err != nil {
		return fmt.Errorf("%s is open to others and cannot be closed to them: %w", f.Name(), err)
	}
	return nil
}

// makeDir creates a directory and its parents, each for its owner only under any umask, and makes their names durable: a database in
// a directory that a power cut takes away is lost. Existing ones stay as they are.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory
		return err
	}
	return syncDir(parent)
}

// syncDir makes a new name in a directory durable, where the system can.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(fsync(d), d.Close())
}

// fsync makes a file or a directory durable. Tests replace it, since no test can cut the power.
var fsync = (*os.File).Sync

// maxLinks bounds the symbolic links that Canonical follows by hand.
const maxLinks = 40

// Canonical returns the one absolute path of a file, through symbolic links, also when the file, or directories above it, do
// not exist yet. Two configurations that mean the same file get the same text.
func Canonical(path string) (string, error) {
	if path == "" {
		return "", errors.New("the path of the database is empty")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for range maxLinks {
		resolved, err := filepath.EvalSymlinks(path)
		if err == nil {
			return resolved, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		dir, base := filepath.Split(path)
		if dir = filepath.Clean(dir); dir == path {
			return "", err
		}
		if dir, err = Canonical(dir); err != nil {
			return "", err
		}
		path = filepath.Join(dir, base)
		target, err := os.Readlink(path)
		if err != nil {
			return path, nil // it does not exist, and it is not a link to what does not exist either
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}
