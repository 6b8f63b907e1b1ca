package module

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

func init() {
	caddy.RegisterModule(StorageBbolt{})
}

// StorageGuest is what a module in the namespace `email_link.storage` is.
type StorageGuest interface {
	// StorageKey names the place, one spelling for each: two configurations with one key share one open store.
	StorageKey() string
	// OpenStorage opens the place. It is called when a configuration starts, never while it is only being validated.
	OpenStorage(ctx context.Context) (storage.Store, error)
}

// SharedStorage is a [StorageGuest] whose place other machines reach, so that the master keys have to be configured.
type SharedStorage interface {
	StorageGuest
	// DemandsSecret reports whether `secret` is required.
	DemandsSecret() bool
}

// BesideStorage is a [StorageGuest] that a command opens while other processes work on the place.
type BesideStorage interface {
	StorageGuest
	// OpenBeside opens the place for a command. What the command changes reaches those processes.
	OpenBeside(ctx context.Context) (storage.Store, error)
}

// SchemaGuest is a [StorageGuest] whose schema operators may make themselves.
type SchemaGuest interface {
	StorageGuest
	// Statements returns what makes the schema, and the rights that are needed at run time.
	Statements() (string, error)
}

// MovableStorage is a [StorageGuest] from which, or to which, everything moves with the command `migrate`.
type MovableStorage interface {
	StorageGuest
	// OpenToMove opens the place for this process alone and keeps all others out. It returns storage.ErrLocked, with the name of a process, while
	// there are any. With existing it refuses a place where nothing has been kept, instead of making it.
	OpenToMove(ctx context.Context, existing bool) (storage.Store, error)
	// Capacity returns how many bytes may be kept there, and whether that is known.
	Capacity() (bytes uint64, known bool, err error)
	// EmptyAdvice says how the place becomes empty, such as "move /path away".
	EmptyAdvice() string
}

// StorageBbolt keeps everything in one file. One process owns it.
type StorageBbolt struct {
	// Path is the file. Default: `email_link/email_link.db` in Caddy's data directory.
	Path string `json:"path,omitempty"`

	path string
}

// DefaultDatabase is the path of the database where none is configured.
func DefaultDatabase() string {
	return filepath.Join(caddy.AppDataDir(), "email_link", "email_link.db")
}

// DefaultKeyFile is the path of the key file that is used without `secret`, in a directory of its own, so that a copy of the
// database's directory does not hold both.
func DefaultKeyFile() string {
	return filepath.Join(caddy.AppDataDir(), "email_link", "keys", "master.key")
}

// CaddyModule returns the Caddy module information.
func (StorageBbolt) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "email_link.storage.bbolt", New: func() caddy.Module { return new(StorageBbolt) }}
}

// Provision resolves the path and touches nothing: the file belongs to the process that runs.
func (s *StorageBbolt) Provision(caddy.Context) error {
	path, err := expand(s.Path)
	if err != nil {
		return fmt.Errorf("storage bbolt: %w", err)
	}
	if path == "" {
		path = DefaultDatabase()
	}
	s.path, err = canonicalPath(path)
	return err
}

// StorageKey implements StorageGuest.
func (s *StorageBbolt) StorageKey() string { return "bbolt:" + s.path }

// OpenStorage implements StorageGuest.
func (s *StorageBbolt) OpenStorage(ctx context.Context) (storage.Store, error) {
	store, err := bolt.Open(ctx, bolt.Options{Path: s.path})
	if errors.Is(err, storage.ErrLocked) {
		return nil, fmt.Errorf("one process owns the database; if it is a running Caddy, use 'caddy reload': %w", err)
	}
	if errors.Is(err, storage.ErrDamaged) {
		return nil, fmt.Errorf("%w; move it away, and 'caddy email-link restore' a backup or start anew", err)
	}
	if err != nil {
		return nil, err
	}
	return store, nil
}

// OpenToMove implements MovableStorage.
func (s *StorageBbolt) OpenToMove(ctx context.Context, existing bool) (storage.Store, error) {
	if _, err := os.Stat(s.path); existing && err != nil {
		return nil, fmt.Errorf("there is no database at %s: %w", s.path, err)
	}
	return s.OpenStorage(ctx)
}

// Capacity implements MovableStorage.
func (s *StorageBbolt) Capacity() (bytes uint64, known bool, err error) { return bolt.Capacity(s.path) }

// EmptyAdvice implements MovableStorage.
func (s *StorageBbolt) EmptyAdvice() string { return "move " + s.path + " away" }

// UnmarshalCaddyfile reads `bbolt [<path>]`.
func (s *StorageBbolt) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	switch args := d.RemainingArgs(); len(args) {
	case 0:
	case 1:
		if s.Path = args[0]; s.Path == "" {
			return d.Err("storage bbolt: the path is empty")
		}
	default:
		return d.Errf("storage bbolt takes one path, found %d words", len(args))
	}
	return refuseBlock(d, "storage bbolt")
}

var (
	_ MovableStorage        = (*StorageBbolt)(nil)
	_ caddy.Provisioner     = (*StorageBbolt)(nil)
	_ caddyfile.Unmarshaler = (*StorageBbolt)(nil)
)
