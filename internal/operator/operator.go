// Package operator is what an operator can do to a gate, as one service: accounts, sessions, links, mail, tokens, keys, limits,
// events, import, export and backup. It knows no HTTP, no command line and no Caddy: package adminapi offers it to a client on
// this machine, package command to a terminal.
package operator

import (
	"context"
	"io"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
)

// Operations is everything an operator can ask for. [Service] does it; the client asks a running Caddy to do it. Where a method
// takes who, it is an account's id or its address. Refusals are [*Error].
type Operations interface {
	Diagnostics
	AddAccount(ctx context.Context, in AccountInput) (AddedAccount, error)
	// Accounts calls each for every account, in the order of ids, and stops at its first error.
	Accounts(ctx context.Context, each func(Account) error) error
	Account(ctx context.Context, who string) (AccountDetails, error)
	// Import makes accounts of a file; Export calls each for every account, with its password record where that is asked for.
	Import(ctx context.Context, in io.Reader, o ImportOptions) (ImportReport, error)
	Export(ctx context.Context, passwords bool, each func(transfer.Row) error) error
	ChangeAccount(ctx context.Context, who string, change AccountChange) (ChangedAccount, error)
	DeleteAccount(ctx context.Context, who string) (ChangedAccount, error)
	// EndSessions ends every session, link and flow of an account, or one session by its id.
	EndSessions(ctx context.Context, who string) (EndedSessions, error)
	// Sessions lists the live sessions of an account.
	Sessions(ctx context.Context, who string) ([]Session, error)
	// AllSessions calls each for every live session, or those at one site, and stops at its first error.
	AllSessions(ctx context.Context, site string, each func(Session) error) error
	// History lists what happened to an account, the oldest first, with what happened to the flows that led to it.
	History(ctx context.Context, who string, n int) ([]Event, error)
	// Explain judges a request to a page as the gate would, for a person, and says what decides.
	Explain(ctx context.Context, q ExplainQuery) (Explanation, error)
	// CreateToken makes a machine token, Tokens lists those of an account, or all when who is empty, RevokeToken ends one.
	CreateToken(ctx context.Context, in MachineTokenInput) (MachineToken, error)
	Tokens(ctx context.Context, who string) ([]MachineToken, error)
	RevokeToken(ctx context.Context, id string) (MachineToken, error)
	MakeLink(ctx context.Context, in LinkInput) (Link, error)
	// Invite invites somebody, Invitations lists what has not expired, the last one first, and RevokeInvitations ends the open invitation with an
	// id, or all for an address.
	Invite(ctx context.Context, in InvitationInput) (Invitation, error)
	Invitations(ctx context.Context) ([]Invitation, error)
	RevokeInvitations(ctx context.Context, which string) ([]Invitation, error)
	AudienceKey(ctx context.Context, audience string, sign bool) (AudienceKey, error)
	// SigningKeys lists the keys that sign assertions, the oldest first; RotateKey makes the next one.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	RotateKey(ctx context.Context) (Rotated, error)
	// Mails lists what waits, then the dead letters, each from the oldest on.
	Mails(ctx context.Context) ([]Mail, error)
	// RetryMail makes a mail due at once, waiting or dead, or with an empty id all of them.
	RetryMail(ctx context.Context, id string) (Retried, error)
	// Events lists the newest lines of the audit log that a query selects, the newest first.
	Events(ctx context.Context, q EventQuery) ([]Event, error)
	// Limits returns what is counted for an IP address, an email address, both together, or [LimitShared]; ResetLimits forgets it.
	Limits(ctx context.Context, who []string) ([]Limit, error)
	ResetLimits(ctx context.Context, who []string) (LimitsReset, error)
	// EndRestored ends what a database holds that was put back where the gate cannot tell.
	EndRestored(ctx context.Context) (EndedRestored, error)
	// Nodes lists the processes that share the database, Reseal seals it by the first configured key.
	Nodes(ctx context.Context) ([]Node, error)
	Reseal(ctx context.Context) (Resealed, error)
	BackupInfo(ctx context.Context) (BackupInfo, error)
	// MasterKeys answers the text of the key file, for a backup that is to be opened elsewhere. It is refused where the keys
	// come from the configuration.
	MasterKeys(ctx context.Context) (string, error)
	// Backup streams a consistent copy of the database.
	Backup(ctx context.Context, w io.Writer) error
}

// Diagnostics is what can be tried on a configuration alone, without its database.
type Diagnostics interface {
	// SendTest sends a test mail and returns once the mailer has answered.
	SendTest(ctx context.Context, in TestMail) (TestSent, error)
	// Diagnose makes all checks of the doctor. to is the address that the mail server is asked for, empty for the sender's own.
	Diagnose(ctx context.Context, to string) ([]doctor.Finding, error)
}
