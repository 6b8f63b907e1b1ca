package module

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/alert"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
)

// Alerts says who is alerted when something looks wrong.
type Alerts struct {
	// To is an address that mails go to, or `contact` for the address of the option `contact`. Default: none.
	To string `json:"to,omitempty"`
	// Post lists addresses that alerts are posted to. Default: none.
	Post []AlertPost `json:"post,omitempty"`
	// Format is `text` or `json`, for posts. Default: `text`.
	Format string `json:"format,omitempty"`
	// Off lists kinds that are not alerted: `mailboxes`, `networks`, `failures`, `replays`, `dead_letters`, `budget`, `no_mail`.
	Off []string `json:"off,omitempty"`
}

// AlertPost is one address that alerts are posted to.
type AlertPost struct {
	// URL is the address, or a placeholder for it.
	URL string `json:"url"`
	// Header and Value are one header of the request. The value is written by `{env.X}` or `{file.X}`. Default: none.
	Header string `json:"header,omitempty"`
	Value  string `json:"value,omitempty"`
	// Insecure permits plain http beyond this machine. Default: false.
	Insecure bool `json:"insecure,omitempty"`
}

// AlertContact is the value of Alerts.To for the address of the option `contact`.
const AlertContact = "contact"

// AlertFormats are the values of Alerts.Format, the default first.
var AlertFormats = []string{"text", "json"}

// AlertKinds returns the words for the kinds of alerts.
func AlertKinds() (names []string) {
	for _, kind := range alert.Kinds() {
		names = append(names, string(kind))
	}
	return names
}

// Check returns an error if the options are not usable, as far as that is known without the environment. No error holds an address or a value
// that is posted with: they may be secrets.
func (a *Alerts) Check() error {
	if a == nil {
		return nil
	}
	if a.Format != "" && !slices.Contains(AlertFormats, a.Format) {
		return fmt.Errorf("alerts: format %q is neither text nor json", a.Format)
	}
	for _, word := range a.Off {
		if !slices.Contains(AlertKinds(), word) {
			return fmt.Errorf("alerts: off %q is no kind; write one of %s", word, strings.Join(AlertKinds(), ", "))
		}
	}
	if a.To == "" && len(a.Post) == 0 {
		return errors.New("alerts: nobody would get them; write 'to <address>', 'to contact' or 'post <url>'")
	}
	for _, p := range a.Post {
		if err := p.Check(); err != nil {
			return fmt.Errorf("alerts: post: %w", err)
		}
	}
	return nil
}

// Check is as Alerts.Check.
func (p AlertPost) Check() error {
	if p.Header != "" && !strings.Contains(p.Value, "{env.") && !strings.Contains(p.Value, "{file.") {
		return fmt.Errorf("the value of the header %s would be in the configuration and in what Caddy saves of it: write it as {env.X} or {file./path}", p.Header)
	}
	if strings.Contains(p.URL, "{") {
		return nil
	}
	return alert.Post{URL: p.URL, Insecure: p.Insecure}.Check()
}

// alertSettings are resolved Alerts.
type alertSettings struct {
	site, to string
	posts    []alert.Post
	off      []alert.Kind
}

// readAlerts resolves the option `alerts`.
func (a *App) readAlerts() error {
	if a.Alerts == nil {
		return nil
	}
	if err := a.Alerts.Check(); err != nil {
		return err
	}
	set := &alertSettings{site: a.policy.siteName, to: a.Alerts.To}
	if set.site == "" {
		set.site = "email_link"
	}
	for _, word := range a.Alerts.Off {
		set.off = append(set.off, alert.Kind(word))
	}
	if set.to != "" {
		if err := a.readAlertAddress(&set.to); err != nil {
			return fmt.Errorf("alerts: to: %w", err)
		}
	}
	for i, p := range a.Alerts.Post {
		post, err := p.resolve(a.Alerts.Format == "json")
		if err != nil {
			return fmt.Errorf("alerts: post %d of %d: %w", i+1, len(a.Alerts.Post), err)
		}
		set.posts = append(set.posts, post)
	}
	a.policy.alerts = set
	return nil
}

// readAlertAddress resolves whom mails go to.
func (a *App) readAlertAddress(to *string) error {
	if a.policy.noMail {
		return errors.New("no mail leaves (mailer none): write 'post <url>' in its place")
	}
	if *to != AlertContact {
		text, err := expand(*to)
		if err != nil {
			return err
		}
		if *to = text; text == "" {
			return errors.New("the address is empty")
		}
	} else if *to = a.policy.contact; *to == "" {
		return errors.New("there is no contact: write 'to <address>', or the line 'contact <address>'")
	}
	parsed, err := address.Parse(*to)
	if err != nil {
		if a.Alerts.To == AlertContact {
			return errors.New("the contact is no email address: write 'to <address>', or an address alone as the contact")
		}
		return fmt.Errorf("%q is no email address", *to)
	}
	*to = parsed.Typed()
	return nil
}

// resolve reads what the placeholders stand for.
func (p AlertPost) resolve(asJSON bool) (alert.Post, error) {
	post := alert.Post{Header: p.Header, Insecure: p.Insecure, JSON: asJSON}
	var err error
	if post.URL, err = expand(p.URL); err != nil {
		return post, err
	}
	if post.Value, err = expand(p.Value); err != nil {
		return post, err
	}
	post.URL, post.Value = strings.TrimSpace(post.URL), strings.TrimSpace(post.Value) // files end with a line break
	return post, post.Check()
}

// alertHandler is a slog.Handler that counts the lines of a log for alerts. It gets them before any is left out.
type alertHandler struct {
	slog.Handler
	sink  *alertSink
	attrs []slog.Attr
}

// alertSink is where an app counts. Its counter is nil where nothing is alerted, and before the start.
type alertSink struct {
	counter atomic.Pointer[alert.Counter]
	clock   *clock.Clock
}

// start begins to count.
func (s *alertSink) start(c *core) {
	s.clock = c.Clock
	s.counter.Store(&c.alerts)
}

// Enabled implements slog.Handler. What is counted does not depend on the level of the log.
func (h *alertHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo && h.sink.counter.Load() != nil || h.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *alertHandler) Handle(ctx context.Context, r slog.Record) error {
	if counter := h.sink.counter.Load(); counter != nil {
		counter.Line(h.sink.clock.Now(), h.line(r))
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// line returns what counts of a line.
func (h *alertHandler) line(r slog.Record) (l alert.Line) {
	read := func(a slog.Attr) bool {
		var into *string
		switch a.Key {
		case "event":
			into = &l.Event
		case "outcome":
			into = &l.Outcome
		case "purpose":
			into = &l.Purpose
		case "rate":
			into = &l.Rate
		case "account":
			into = &l.Account
		case "client":
			into = &l.Client
		case "spent":
			l.Spent = int(a.Value.Int64())
			return true
		default:
			return true
		}
		*into = a.Value.String()
		return true
	}
	for _, a := range h.attrs {
		read(a)
	}
	r.Attrs(read)
	return l
}

// WithAttrs implements slog.Handler.
func (h *alertHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &alertHandler{h.Handler.WithAttrs(attrs), h.sink, slices.Concat(h.attrs, attrs)}
}

// WithGroup implements slog.Handler.
func (h *alertHandler) WithGroup(name string) slog.Handler {
	return &alertHandler{h.Handler.WithGroup(name), h.sink, h.attrs}
}

// alertInterval is how often it is looked for what is due.
const alertInterval = time.Minute

// runAlerts sends what is due, once a minute.
func (c *core) runAlerts() {
	ticker := time.NewTicker(alertInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.alert(c.ctx)
		case <-c.ctx.Done():
			return
		}
	}
}

// alert sends the alerts that are due. One is sent at most once: that it is sent is stored before it is, in the step that queues its mail, so
// that neither another process nor one that follows a kill sends it again within the hour.
func (c *core) alert(ctx context.Context) {
	d := c.inForce()
	if d == nil || d.alerts == nil {
		return
	}
	now := c.Clock.Now()
	due := slices.DeleteFunc(c.alerts.Due(now), func(a alert.Alert) bool {
		if off := slices.Contains(d.alerts.off, a.Kind); off {
			c.alerts.Done(a.Kind)
			return true
		}
		return false
	})
	if len(due) == 0 {
		return
	}
	claimed, err := alert.Claim(ctx, c.Store, c.Ring, now, d.alerts.site, d.alerts.to, due)
	if err != nil {
		c.log.Warn("alerts could not be stored, and wait", "event", "alert", "error", err)
		return
	}
	c.worker.Wake()
	var wg sync.WaitGroup
	for _, a := range claimed {
		c.alerts.Done(a.Kind)
		c.log.Warn("alert: "+a.Title(), "event", "alert", "kind", string(a.Kind), "total", a.Total)
	}
	for _, to := range d.alerts.posts {
		wg.Go(func() {
			for _, a := range claimed {
				if err := c.poster.Send(ctx, to, d.alerts.site, a); err != nil {
					c.log.Warn("an alert could not be posted", "event", "alert", "kind", string(a.Kind), "host", to.Host(), "error", err)
				}
			}
		})
	}
	wg.Wait()
}
