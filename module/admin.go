package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/adminapi"
)

func init() {
	caddy.RegisterModule(adminEndpoint{})
	adminapi.Register(adminapi.Host{Open: openOffline, Restore: restoreBackup})
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
	parts, ok := Running()
	err := adminapi.ErrNotRunning
	if ok {
		err = adminapi.Serve(parts.gate(), w, r)
	}
	if err == nil {
		return nil
	}
	return caddy.APIError{HTTPStatus: adminapi.Status(err), Err: err, Message: err.Error()}
}

// gate returns what does the operators' work.
func (p *Parts) gate() *adminapi.Gate {
	return &adminapi.Gate{State: p.State, Flows: p.Flows, Sites: p.Sites, Site: p.Site, KeyFile: p.KeyFile}
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
	ctx, err := caddy.ProvisionContext(&caddy.Config{AppsRaw: cfg.AppsRaw, StorageRaw: cfg.StorageRaw})
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
func openOffline(ctx context.Context, configuration []byte, create bool) (adminapi.Backend, func() error, error) {
	app, err := offline(configuration)
	if err != nil {
		return nil, nil, err
	}
	if own, ok := app.storage.(*StorageBbolt); ok && !create {
		if _, err := os.Stat(own.path); errors.Is(err, os.ErrNotExist) {
			return nil, nil, fmt.Errorf("no Caddy answers and there is no database at %s: start Caddy first, name its configuration with --config, or say --create", own.path)
		}
	}
	c, err := openCore(ctx, app.storage, app.secrets, newLogSwitch(app.log.Handler()))
	if err != nil {
		return nil, nil, err
	}
	source, err := app.accounts.OpenAccounts(c.Accounts)
	if err != nil {
		return nil, nil, errors.Join(err, c.Destruct())
	}
	return app.newParts(c, source).gate(), c.Destruct, nil
}
