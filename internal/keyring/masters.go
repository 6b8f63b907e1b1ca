package keyring

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// maxKeyFile is far more than any list of keys takes.
const maxKeyFile = 64 << 10

// ParseMasters reads the values of `secret`: 32 bytes or more each, as hex, base64, base64url (padded or not), or as they are.
// White space around a value is dropped, since files end in a line feed. The error says which value it is about and never
// repeats it, and does not advise to make a new key, which may destroy what the missing one opens.
func ParseMasters(values []string) ([][]byte, error) {
	if len(values) == 0 {
		return nil, errors.New("secret: no value")
	}
	masters := make([][]byte, 0, len(values))
	seen := make(map[string]bool, len(values))
	for i, v := range values {
		m, err := parseMaster(strings.TrimSpace(v))
		if err != nil {
			return nil, fmt.Errorf("secret: value %d of %d %w", i+1, len(values), err)
		}
		if seen[string(m)] {
			return nil, fmt.Errorf("secret: value %d of %d is there twice", i+1, len(values))
		}
		seen[string(m)] = true
		masters = append(masters, m)
	}
	return masters, nil
}

func parseMaster(v string) ([]byte, error) {
	switch {
	case v == "":
		return nil, errors.New("is empty")
	case strings.HasPrefix(v, "{") && strings.HasSuffix(v, "}"):
		return nil, errors.New("is a placeholder that was not replaced")
	}
	if b, err := hex.DecodeString(v); err == nil && len(b) >= MinMaster {
		return b, checkSpread(b)
	}
	plain := strings.TrimRight(v, "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := enc.Strict().DecodeString(plain); err == nil && len(b) >= MinMaster {
			return b, checkSpread(b)
		}
	}
	if len(v) < MinMaster {
		return nil, fmt.Errorf("is too short: %d random bytes or more are needed, as they are, in hex, base64 or base64url", MinMaster)
	}
	return []byte(v), checkSpread([]byte(v))
}

// checkSpread refuses keys that were not drawn at random: 32 random bytes practically never have fewer than 8 values.
func checkSpread(b []byte) error {
	var seen [256]bool
	n := 0
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			n++
		}
	}
	if n < 8 {
		return errors.New("is not random")
	}
	return nil
}

// MissingKeyError is the refusal to make a new key beside an existing database.
type MissingKeyError struct {
	// Path is where the key file was looked for.
	Path string
	// Fingerprint names the key the database needs, when the caller knows it: see [SealedBy].
	Fingerprint string
}

func (e *MissingKeyError) Error() string {
	key := "its key"
	if e.Fingerprint != "" {
		key = "its key " + e.Fingerprint
	}
	return fmt.Sprintf("secret: there is a database, but %s is not at %s: put the key file back, or set `secret` (no new key is made: it could not open this database)", key, e.Path)
}

// LoadOrCreateKeyFile reads the master keys of a key file, one a line, the first of which seals. When the file is missing and
// there is no database either it creates both directory (0700) and file (0600, whatever the umask) with a new random key, and
// returns only after file and directory are on disk. A missing file beside a database is a [*MissingKeyError]. What is wrong
// with a file's mode is no error: see [KeyFileWarning].
func LoadOrCreateKeyFile(path string, databaseExists bool) (masters [][]byte, created bool, err error) {
	masters, err = readKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return masters, false, err
	}
	if databaseExists {
		return nil, false, &MissingKeyError{Path: path}
	}
	switch err = createKeyFile(path); {
	case errors.Is(err, fs.ErrExist):
		// Another process was faster; its key is as good.
		created = false
	case err != nil:
		return nil, false, fmt.Errorf("secret: creating the key file: %w", err)
	default:
		created = true
	}
	masters, err = readKeyFile(path)
	return masters, created, err
}

// KeyFileWarning says what is wrong with the mode of a key file or of its directory, in words for the log; empty when
// nothing is.
func KeyFileWarning(path string) string {
	if fi, err := os.Stat(path); err == nil && fi.Mode().Perm()&0o077 != 0 {
		return fmt.Sprintf("the key file %s has mode %04o: others can read it; chmod 600 it", path, fi.Mode().Perm())
	}
	dir := filepath.Dir(path)
	if fi, err := os.Stat(dir); err == nil && fi.Mode().Perm()&0o022 != 0 {
		return fmt.Sprintf("the directory %s of the key file has mode %04o: others can replace the key; chmod 700 it", dir, fi.Mode().Perm())
	}
	return ""
}

func readKeyFile(path string) ([][]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, keyFileError(path, err)
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("secret: the key file %s is not a regular file", path)
	}
	f, err := os.Open(path) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, keyFileError(path, err)
	}
	defer func() { _ = f.Close() }()
	var values []string
	sc := bufio.NewScanner(io.LimitReader(f, maxKeyFile))
	for sc.Scan() {
		if line := strings.TrimSpace(sc.Text()); line != "" && !strings.HasPrefix(line, "#") {
			values = append(values, line)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("secret: the key file %s: %w", path, err)
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("secret: the key file %s holds no key", path)
	}
	masters, err := ParseMasters(values)
	if err != nil {
		return nil, fmt.Errorf("the key file %s: %w", path, err)
	}
	return masters, nil
}

// keyFileError words the error of opening a key file. One that is there and cannot be read must not be made anew.
func keyFileError(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("secret: the key file %s cannot be read: %w; %s", path, fs.ErrPermission, ReadableAdvice(path))
	}
	return fmt.Errorf("secret: %w", err)
}

// ReadableAdvice returns what to do about a file that the present user may not read. Caddy starts as the user who then has to read it.
func ReadableAdvice(path string) string {
	name := "<user>"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return fmt.Sprintf("make it readable for the user Caddy runs as: chown %s %s, and its directory if that belongs to another", name, path)
}

func createKeyFile(path string) (err error) {
	dir := filepath.Dir(path)
	if err := createDir(dir); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the path is the operator's
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // half a key would be a refusal at each later start
			_ = f.Close()
			_ = os.Remove(path)
		}
	}()
	if err = f.Chmod(0o600); err != nil {
		return err
	}
	key := make([]byte, keySize)
	_, _ = rand.Read(key)
	if _, err = f.WriteString(base64.RawURLEncoding.EncodeToString(key) + "\n"); err != nil {
		return err
	}
	if err = fsync(f); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return syncDir(dir)
}

// createDir makes dir with mode 0700 whatever the umask, and its parents; an existing one is left as it is.
func createDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := createDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory needs its x bit
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the path is the operator's
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return fsync(d)
}

// fsync makes a file or a directory durable. Tests replace it, since no test can cut the power.
var fsync = (*os.File).Sync
