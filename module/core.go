package module

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/alert"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// cores holds the open stores of this process, by the key of their place only: a reload starts the new configuration before
// it stops the old one, and both share what is open.
var cores = caddy.NewUsagePool()

// core is what outlives a configuration: the open state, whose memory must survive a reload, and the mail worker. The sockets
// that end with their session are registered in its session manager.
type core struct {
	*vault.Vault
	limiter *limit.Limiter
	worker  *outbox.Worker
	// passwords hashes for all configurations: what is under way at a reload counts for the next one.
	passwords *password.Hasher
	log       *slog.Logger
	logs      *swappableHandler
	// alerts counts for all configurations, so that a reload forgets nothing.
	alerts alert.Counter
	poster *alert.Poster

	// ctx ends with the core.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	inUse []*delivery // guarded by mu; the last one is in force
}

// delivery is what the core needs of one configuration.
type delivery struct {
	mailer    *reloadSafeMailer
	outbox    outbox.Delivery
	lifetimes session.Lifetimes
	scopes    []string
	log       slog.Handler
	// alerts is nil where nobody is alerted.
	alerts *alertSettings
}

// secrets says where the master keys come from.
type secrets struct {
	// masters are those of the configuration; nil: the key file.
	masters [][]byte
	keyFile string
}

// openCore opens the store and what depends on it. Nothing runs until run.
func openCore(ctx context.Context, open func(context.Context) (storage.Store, error), sec secrets, logs *swappableHandler) (*core, error) {
	store, err := open(ctx)
	if err != nil {
		return nil, err
	}
	c := &core{logs: logs, log: slog.New(logs), poster: alert.NewPoster()}
	c.Vault, err = vault.Open(ctx, vault.Config{Store: timed(store), Masters: sec.load, Log: c.log})
	if err != nil {
		return nil, errors.Join(sec.explain(err), store.Close())
	}
	if c.passwords, err = password.NewHasher(password.Options{}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.limiter = &limit.Limiter{Ring: c.Ring}
	c.worker = &outbox.Worker{Store: c.Store, Ring: c.Ring, Clock: c.Clock, Limiter: c.limiter, Shared: c.isShared(), Observer: observer{}, Log: c.log}
	return c, nil
}

// isShared reports whether other nodes use the same database.
func (c *core) isShared() bool {
	_, shared := c.Store.(storage.Shared)
	return shared
}

// measure finds out how long passwords take to compare, by the kinds of their records, so that each answer to a sign-in takes
// the same time. What cannot be measured now is learned from the first password of its kind.
func (c *core) measure(ctx context.Context) {
	costs, err := c.Accounts.Costs(ctx)
	if err == nil {
		err = c.passwords.Measure(ctx, costs)
	}
	if err != nil {
		c.log.Warn("how long passwords take to compare could not be measured", "event", "password", "error", err)
	}
}

// file returns the path of the key file, empty when the keys come from the configuration.
func (s secrets) file() string {
	if s.masters != nil {
		return ""
	}
	return s.keyFile
}

// load returns the master keys: those of the configuration, else those of the key file, which is made only beside an empty
// database.
func (s secrets) load(sealed []byte) ([][]byte, error) {
	if s.masters != nil {
		return s.masters, nil
	}
	masters, _, err := keyring.LoadOrCreateKeyFile(s.keyFile, len(sealed) > 0)
	var missing *keyring.MissingKeyError
	if errors.As(err, &missing) && missing.Fingerprint == "" {
		if by, e := keyring.SealedBy(sealed); e == nil {
			missing.Fingerprint = by
		}
	}
	return masters, err
}

// explain adds the path that was looked at.
func (s secrets) explain(err error) error {
	if errors.Is(err, keyring.ErrForeignKey) && s.masters == nil {
		return fmt.Errorf("%w (the key file is %s)", err, s.keyFile)
	}
	return err
}

// rekey takes over the master keys of a further configuration: they must open this database, and the first of them seals it, unless other
// nodes use it: with other configurations they would undo each other's seal.
func (c *core) rekey(ctx context.Context, sec secrets) error {
	if !c.isShared() {
		_, err := c.seal(ctx, sec, nil)
		return err
	}
	var sealed []byte
	err := c.Store.View(ctx, func(tx storage.Tx) error {
		value, _, err := tx.Meta().Get(storage.MetaDataKey)
		sealed = slices.Clone(value)
		return err
	})
	if err != nil {
		return err
	}
	_, _, err = keyring.Open(sec.masters, sealed)
	return sec.explain(err)
}

// run starts the goroutines: the mail worker, and those that look after the state.
func (c *core) run() {
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.Start()
	c.wg.Go(c.runAlerts)
	c.wg.Go(func() {
		if c.isShared() {
			// What its records call sending may be sent by another node right now.
		} else if n, err := c.worker.Resume(c.ctx); err != nil {
			c.log.Warn("mails that were on their way at the last stop wait for their next attempt", "event", "mailed", "error", err)
		} else if n > 0 {
			c.log.Info("mails that were on their way at the last stop are sent now", "event", "mailed", "mails", n)
		}
		if err := c.worker.Run(c.ctx); err != nil && c.ctx.Err() == nil {
			c.log.Error("the mail worker has stopped", "event", "worker", "error", err)
		}
	})
}

// use puts a configuration in force. A configuration that fails later is taken out again by drop, and the one before it is in
// force as before.
func (c *core) use(d *delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse = append(c.inUse, d)
	c.apply(d)
}

// drop takes a configuration out and closes its mailer. A mail that is under way may end, but a reload does not wait for a
// mail server, and the end of everything does not either.
func (c *core) drop(d *delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse = slices.DeleteFunc(c.inUse, func(one *delivery) bool { return one == d })
	if n := len(c.inUse); n > 0 {
		c.apply(c.inUse[n-1])
	}
	// The caller still holds the core, so Destruct does not wait for the goroutines yet.
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, closeTimeout)
		defer cancel()
		if err := d.mailer.Close(ctx); err != nil && c.ctx.Err() == nil {
			c.log.Warn("a mailer could not be closed in time", "event", "mailer", "error", err)
		}
	})
}

// inForce returns the configuration in force, or nil.
func (c *core) inForce() *delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.inUse) == 0 {
		return nil
	}
	return c.inUse[len(c.inUse)-1]
}

func (c *core) apply(d *delivery) {
	c.logs.set(d.log)
	c.Sessions.SetLifetimes(d.lifetimes)
	c.Machines.SetScopes(d.scopes)
	c.worker.Use(d.outbox)
	c.worker.Wake()
}

// Destruct stops the goroutines and closes the store. Requests that are still under way meet storage.ErrClosed.
func (c *core) Destruct() error {
	if c.cancel != nil {
		c.cancel()
	}
	c.wg.Wait()
	return c.Close()
}

var _ caddy.Destructor = (*core)(nil)
