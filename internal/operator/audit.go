package operator

import (
	"context"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Caller is what a command says about itself. The audit log repeats it; nothing verifies it, because who reaches the database or Caddy's
// admin endpoint may do everything anyway.
type Caller struct {
	// Command is the words of the command without its arguments, such as "accounts disable". Arguments may be addresses.
	Command string
	// User is the user who ran it, Host the machine.
	User, Host string
}

// maxCaller bounds each field of a Caller, in bytes.
const maxCaller = 64

type callerKey struct{}

// WithCaller returns a context in which [Service] notes the caller in the audit log. It replaces what is not printable and cuts what is
// too long.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, Caller{cleaned(c.Command), cleaned(c.User), cleaned(c.Host)})
}

// CallerOf returns the caller of a context, the zero value if there is none.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

func cleaned(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	for len(s) > maxCaller {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// Names of operators' events. What they change or hand out is the purpose.
const (
	eventChanged  = "changed"
	eventExported = "exported"
)

// event returns an event of the present caller.
func (svc *Service) event(ctx context.Context, name, purpose, outcome string) storage.Event {
	return storage.Event{
		Time: svc.Vault.Clock.Now(), Name: name, Purpose: purpose, Outcome: outcome, Operator: storage.Operator(CallerOf(ctx)),
	}
}

// audit appends an event to the audit log.
func audit(tx storage.Tx, e storage.Event) error {
	return tx.Events().Append(e, e.Time.Add(storage.EventLifetime))
}

// report logs an event whose step has been committed.
func (svc *Service) report(ctx context.Context, e storage.Event) {
	if svc.Log == nil {
		return
	}
	svc.Log.LogAttrs(ctx, slog.LevelInfo, "an operator's command", slog.String("event", e.Name), slog.String("purpose", e.Purpose),
		slog.String("outcome", e.Outcome), slog.String("account", e.Account), slog.String("client", e.Client),
		slog.String("command", e.Operator.Command), slog.String("user", e.Operator.User), slog.String("host", e.Operator.Host))
}

// exported records that secrets or the data of all accounts are handed out. A store that cannot be written does not keep an operator from a
// backup: the failure is logged in the event's place.
func (svc *Service) exported(ctx context.Context, purpose, outcome string) {
	e := svc.event(ctx, eventExported, purpose, outcome)
	err := svc.Vault.Store.Update(ctx, func(tx storage.Tx) error { return audit(tx, e) })
	if err != nil && svc.Log != nil {
		svc.Log.ErrorContext(ctx, "the audit log cannot be written", "event", e.Name, "purpose", purpose, "error", err)
	}
	svc.report(ctx, e)
}
