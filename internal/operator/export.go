package operator

import (
	"context"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Export implements Operations.
func (svc *Service) Export(ctx context.Context, passwords bool, each func(transfer.Row) error) error {
	outcome := "without_passwords"
	if passwords {
		outcome = "with_passwords"
	}
	svc.exported(ctx, "accounts", outcome)
	for after := ""; ; {
		var list []accounts.Exported
		err := svc.Vault.Store.View(ctx, func(tx storage.Tx) (err error) {
			list, err = svc.Vault.Accounts.Export(tx, after, page)
			return err
		})
		if err != nil {
			return err
		}
		for _, a := range list {
			row := transfer.Row{
				Email: a.Email, Name: a.Name, Roles: a.Roles, Created: a.Created.UTC(), Status: string(a.Status), Language: a.Language, Timezone: a.Timezone,
				// Only who has proven the mailbox has a password here.
				Verified: true,
			}
			if passwords {
				row.Password = a.Record.Text()
			}
			if err := each(row); err != nil {
				return err
			}
			after = a.ID
		}
		if len(list) < page {
			return nil
		}
	}
}
