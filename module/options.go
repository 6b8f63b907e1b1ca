package module

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
)

// readText resolves the placeholders of an option that is one line of text.
func readText(option, text string, into *string) error {
	text, err := expand(text)
	if err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	if gate.HasControl(text) {
		return fmt.Errorf("%s holds a control character", option)
	}
	*into = text
	return nil
}

// readMailbox resolves an option that is a mailbox, where it is given.
func readMailbox(option, text string, into *string) error {
	if err := readText(option, text, into); err != nil || *into == "" {
		return err
	}
	if err := CheckMailbox(*into); err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	ascii, err := mime.Mailbox(*into) // a domain of other letters goes into Message-ID and HELO as well
	if err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	*into = ascii.String()
	return nil
}

// LogClients are the values of App.LogClient, the default first.
var LogClients = []string{"prefix", "full"}

func checkLogClient(word string) error {
	if word != "" && !slices.Contains(LogClients, word) {
		return fmt.Errorf("log_client: %q is neither prefix nor full", word)
	}
	return nil
}

func (a *App) readLimits() error {
	for _, name := range slices.Sorted(maps.Keys(a.Limit)) {
		if err := a.policy.limits.Set(name, a.Limit[name]...); err != nil {
			return err
		}
	}
	return a.policy.limits.Complete(func(name string) bool { return a.Limit[name] != nil })
}

func (a *App) checkTimes() error {
	for name, d := range map[string]caddy.Duration{
		"lifetime activation": a.Lifetime.Activation, "lifetime sign_in": a.Lifetime.SignIn,
		"lifetime reset": a.Lifetime.Reset, "resend wait": a.Resend.Wait,
	} {
		if t := time.Duration(d); t < 0 || t > MaxLifetime {
			return fmt.Errorf("%s: %s is above the largest value, 72h, or below zero", name, t)
		}
	}
	if t := time.Duration(a.Lifetime.Invite); t < 0 || t > MaxInviteLifetime {
		return fmt.Errorf("lifetime invite: %s is above the largest value, 30d, or below zero", t)
	}
	if a.Session.Idle < 0 || a.Session.Absolute < 0 {
		return errors.New("session: a duration must be above zero")
	}
	if n := a.Resend.Count; n != nil && (*n < 0 || *n > MaxResends) {
		return fmt.Errorf("resend: %d is not a number from 0 to %d", *n, MaxResends)
	}
	return nil
}
