package operator

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// BackupInfo says what belongs to a backup.
type BackupInfo struct {
	// Fingerprint names the master key without which the backup cannot be opened.
	Fingerprint string `json:"fingerprint"`
	// KeyFile is the path of the file that holds it, empty where the option `secret` does.
	KeyFile string `json:"key_file,omitempty"`
}

// BackupInfo implements Operations.
func (svc *Service) BackupInfo(ctx context.Context) (info BackupInfo, err error) {
	info.KeyFile = svc.KeyFile
	err = svc.Vault.Store.View(ctx, func(tx storage.Tx) error {
		sealed, _, err := tx.Meta().Get(storage.MetaDataKey)
		if err == nil {
			// The ring still names the key that opened it: a reload may have sealed the data key with another one since.
			info.Fingerprint, err = keyring.SealedBy(sealed)
		}
		return err
	})
	return info, err
}

// EndedRestored says what was ended in a database that was put back.
type EndedRestored struct {
	// Mails is how many queued mails were deleted. Sessions, links and machine tokens are not counted: all have ended.
	Mails int `json:"mails"`
}

// EndRestored implements Operations.
func (svc *Service) EndRestored(ctx context.Context) (done EndedRestored, err error) {
	e := svc.event(ctx, eventChanged, "database", "restored")
	done.Mails, err = svc.Vault.EndRestored(ctx, func(tx storage.Tx) error { return audit(tx, e) })
	if err == nil {
		svc.report(ctx, e)
	}
	return done, err
}

// MasterKeys implements Operations.
func (svc *Service) MasterKeys(ctx context.Context) (string, error) {
	if svc.KeyFile == "" {
		return "", conflict("the master keys come from the option `secret`, not from a key file: keep what that option names")
	}
	text, err := os.ReadFile(svc.KeyFile)
	if err != nil {
		return "", fmt.Errorf("reading the key file: %w", err)
	}
	svc.exported(ctx, "master_key", "copied")
	return string(text), nil
}

// Backup implements Operations.
func (svc *Service) Backup(ctx context.Context, w io.Writer) error {
	b, ok := svc.Vault.Store.(storage.Backuper)
	if !ok {
		return conflict("this storage is backed up with the tools of its server, such as pg_dump --format=custom; keep the keys of `secret` elsewhere. " +
			"The first start on a copy that they have put back ends every session, link and queued mail")
	}
	svc.exported(ctx, "database", "copied")
	return b.Backup(ctx, w)
}
