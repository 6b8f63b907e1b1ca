// Package file writes mails into a directory instead of sending them. It is for development: anyone who reads the directory can
// sign in as everybody.
package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
)

// ErrClosed is what Send returns after Close.
var ErrClosed = errors.New("file mailer is closed")

// Mailer writes each mail as two files with one name: .eml, which mail programs open, and .txt, the text part below the
// most important headers. The names sort by the mail's date; a mail that is sent again replaces itself. New makes it.
type Mailer struct {
	dir string

	mu     sync.RWMutex // held for reading by a Send
	closed bool
}

var _ mailer.Mailer = (*Mailer)(nil)

// New returns a mailer for dir, which the first mail makes with mode 0700. It does not touch the disk.
func New(dir string) (*Mailer, error) {
	if dir == "" {
		return nil, errors.New("file mailer: no directory: write `mailer file <dir>`")
	}
	abs, err := filepath.Abs(dir) // Caddy may change its working directory, the mails shall not
	if err != nil {
		return nil, fmt.Errorf("file mailer: %w", err)
	}
	return &Mailer{dir: abs}, nil
}

// Dir is the absolute path of the directory.
func (m *Mailer) Dir() string { return m.dir }

// Send implements [mailer.Mailer]. A reader of the directory sees whole files only, the .txt before the .eml.
func (m *Mailer) Send(ctx context.Context, msg mailer.Message) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	raw, err := mime.Build(msg, mime.Options{})
	if err != nil {
		return err
	}
	if err := makeDir(m.dir); err != nil {
		return err
	}
	text := fmt.Sprintf("From: %s\nTo: %s\nDate: %s\nSubject: %s\n\n%s",
		msg.From, msg.To, msg.Date.Format("2006-01-02 15:04:05 -0700"), msg.Subject, msg.Text)
	id := sha256.Sum256([]byte(msg.MessageID))
	base := filepath.Join(m.dir, msg.Date.UTC().Format("20060102T150405.000Z")+"-"+hex.EncodeToString(id[:6]))
	if err := write(base+".txt", []byte(text)); err != nil {
		return err
	}
	return write(base+".eml", raw)
}

// Close implements [mailer.Mailer]. It does not wait for ctx: writing two files takes no time worth it.
func (m *Mailer) Close(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// makeDir leaves the mode of a directory that exists as it is: it was chosen.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("file mailer: %w", err)
	}
	return os.Chmod(dir, 0o700) // whatever the umask took away
}

// write makes path appear at once, with mode 0600 under any umask. It does not sync: a mail for development need not
// survive a power cut.
func write(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".mail-*")
	if err != nil {
		return fmt.Errorf("file mailer: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // it holds half a mail; the error that matters is already on its way
			err = fmt.Errorf("file mailer: %w", err)
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o600), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
