package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/adminapi"
	"github.com/caddy-email-link/caddy-email-link/internal/command"
	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func init() {
	caddy.RegisterModule(adminEndpoint{})
	command.Register(command.Host{Open: openOffline, Restore: restoreBackup, Schema: schemaStatements, Diagnose: openBench, Migrate: migrateStorage})
}

// adminEndpoint serves operators' commands below Caddy's admin address.
type adminEndpoint struct{}

// CaddyModule returns the Caddy module information.
func (adminEndpoint) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.email_link", New: func() caddy.Module { return new(adminEndpoint) }}
}

// Routes implements caddy.AdminRouter.
func (adminEndpoint) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: adminapi.Prefix, Handler: caddy.AdminHandlerFunc(serveAdmin)}}
}

func serveAdmin(w http.ResponseWriter, r *http.Request) error {
	err := adminapi.ErrNotRunning
	if app := running.last(); app != nil {
		if l := app.live.Load(); l != nil {
			err = adminapi.Serve(app.operate(l.parts, l.core), w, r)
		}
	}
	if err == nil {
		return nil
	}
	logged := err
	if refusal := (*operator.Error)(nil); errors.As(err, &refusal) {
		logged = errors.New(http.StatusText(adminapi.Status(refusal))) // the words for the operator may name an address
	}
	return caddy.APIError{HTTPStatus: adminapi.Status(err), Err: logged, Message: err.Error()}
}

// operate returns what does the operators' work on an open gate.
func (a *App) operate(p *Parts, c *core) *operator.Service {
	return &operator.Service{
		Vault: p.Vault, Flows: p.Flows, Sites: p.Sites, Site: p.Site, Portal: p.Portal, Led: p.Led, KeyFile: p.KeyFile,
		Limiter: p.Limiter, Rates: a.policy.limits, Wake: p.Worker.Wake, Audiences: a.audiences(), Scopes: a.Scopes,
		Roles: a.roles(),
		Self:  a.nodeInfo(),
		Seal: func(ctx context.Context, beside func(storage.Tx) error) (bool, error) {
			return c.seal(ctx, a.secrets, beside)
		},
		Test:   a.sendTest,
		Doctor: func(ctx context.Context, to string) ([]doctor.Finding, error) { return a.diagnose(ctx, c, to) },
		Route:  func(q operator.RouteQuestion) (operator.RouteAnswer, error) { return a.explainRequest(c, q) },
		Log:    a.log,
	}
}

// roles are those that sites require, and that invitations give.
func (a *App) roles() []string {
	list := a.requiredRoles()
	for _, rule := range a.Invite {
		list = append(append(list, rule.By), rule.Gives...)
	}
	return sorted(list)
}

// audiences are those of all sites, *.example.com where an origin covers one label.
func (a *App) audiences() (list []string) {
	for _, h := range a.handlers {
		if h.Audience != "" {
			list = append(list, h.Audience)
			continue
		}
		for _, o := range h.origins {
			list = append(list, gate.HostOf(o.String()))
		}
	}
	return sorted(list)
}

// offline reads and checks a configuration without starting it.
func offline(configuration []byte) (*App, error) {
	cfg := new(caddy.Config)
	if len(configuration) > 0 {
		if err := caddy.StrictUnmarshalJSON(configuration, cfg); err != nil {
			return nil, fmt.Errorf("the configuration cannot be read: %w", err)
		}
	}
	if cfg.AppsRaw["email_link"] == nil {
		// The defaults say where the database and the key are.
		cfg.AppsRaw = caddy.ModuleMap{"email_link": json.RawMessage(`{"mailer":{"transport":"none"}}`)}
	}
	// What the other apps log while they are set up, warnings included, is for the one who starts Caddy.
	quiet := &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "ERROR"}}}}
	ctx, err := caddy.ProvisionContext(&caddy.Config{AppsRaw: cfg.AppsRaw, StorageRaw: cfg.StorageRaw, Logging: quiet})
	if err != nil {
		return nil, err
	}
	app, err := ctx.App("email_link")
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

// openOffline opens the gate of a configuration without starting it: no site is served and no mail leaves. The process ends
// soon after, so what Provision holds is not given back.
func openOffline(ctx context.Context, configuration []byte, create bool) (command.Opened, error) {
	app, err := offline(configuration)
	if err != nil {
		return command.Opened{}, err
	}
	if own, ok := app.storage.(*StorageBbolt); ok && !create {
		if _, err := os.Stat(own.path); errors.Is(err, os.ErrNotExist) {
			return command.Opened{}, fmt.Errorf("no Caddy answers and there is no database at %s: start Caddy first, name its configuration with --config, or say --create", own.path)
		}
	}
	open := app.storage.OpenStorage
	if guest, ok := app.storage.(BesideStorage); ok {
		open = guest.OpenBeside
	}
	c, err := openCore(ctx, open, app.secrets, newSwappableHandler(onlyErrors{app.log.Handler()}))
	if err != nil {
		return command.Opened{}, err
	}
	return command.Opened{Operations: app.operate(app.newParts(c), c), Close: c.Destruct, Restored: c.Restored}, nil
}

// onlyErrors is for commands: they tell in their own words what a running gate logs.
type onlyErrors struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h onlyErrors) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h onlyErrors) WithAttrs(attrs []slog.Attr) slog.Handler {
	return onlyErrors{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h onlyErrors) WithGroup(name string) slog.Handler { return onlyErrors{h.Handler.WithGroup(name)} }

// openBench reads and checks a configuration, and opens nothing.
func openBench(_ context.Context, configuration []byte) (operator.Diagnostics, error) {
	app, err := offline(configuration)
	if err != nil {
		return nil, err
	}
	return &operator.Service{
		Test:   app.sendTest,
		Doctor: func(ctx context.Context, to string) ([]doctor.Finding, error) { return app.diagnose(ctx, nil, to) },
	}, nil
}
