package module

import (
	"context"
	"slices"
	"sync"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
)

// Parts are the pieces of a gate that operators work with.
type Parts struct {
	*vault.Vault
	Limiter *limit.Limiter
	Worker  *outbox.Worker
	Flows   *flow.Service
	// Sites are those of the configuration, entries with a star aside.
	Sites []flow.Site
	// Site returns the site of an origin, those below a star included.
	Site func(origin string) (flow.Site, bool)
	// Portal is the origin of the portal, empty where there is none. Led reports whether people sign in there for the site of an origin.
	Portal string
	Led    func(origin string) bool
	// Alert sends the alerts that are due, as is done once a minute.
	Alert func(context.Context)
	// KeyFile is the path of the key file, empty when the keys come from the configuration.
	KeyFile string
}

// active holds the apps that have started, the newest last. There are two for a moment during a reload, and a reload that
// fails takes its own away again.
type active struct {
	mu   sync.Mutex
	apps []*App
}

var running active

func (a *active) add(app *App) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.apps = append(a.apps, app)
}

func (a *active) remove(app *App) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.apps = slices.DeleteFunc(a.apps, func(one *App) bool { return one == app })
}

func (a *active) last() *App {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.apps) == 0 {
		return nil
	}
	return a.apps[len(a.apps)-1]
}

// Running returns the parts of the gate that runs in this process. ok is false when none does.
func Running() (p *Parts, ok bool) {
	app := running.last()
	if app == nil {
		return nil, false
	}
	l := app.live.Load()
	if l == nil {
		return nil, false
	}
	return l.parts, true
}
