package adminapi

import (
	"context"
	"io"
)

// Backend is everything an operator can ask for. [Gate] does it; the client asks a running Caddy to do it. Where a method
// takes who, it is an account's id or its address. Refusals are [*Error].
type Backend interface {
	AddAccount(ctx context.Context, in AccountInput) (Account, error)
	// Accounts calls each for every account, in the order of ids, and stops at its first error.
	Accounts(ctx context.Context, each func(Account) error) error
	Account(ctx context.Context, who string) (Account, error)
	ChangeAccount(ctx context.Context, who string, change AccountChange) (Account, error)
	DeleteAccount(ctx context.Context, who string) error
	// EndSessions ends every session, link and flow of an account.
	EndSessions(ctx context.Context, who string) error
	MakeLink(ctx context.Context, in LinkInput) (Link, error)
	AudienceKey(ctx context.Context, audience string, sign bool) (AudienceKey, error)
	BackupInfo(ctx context.Context) (BackupInfo, error)
	// MasterKeys answers the text of the key file, for a backup that is to be opened elsewhere. It is refused where the keys
	// come from the configuration.
	MasterKeys(ctx context.Context) (string, error)
	// Backup streams a consistent copy of the database.
	Backup(ctx context.Context, w io.Writer) error
}
