package module

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/nearest"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
)

const (
	// MaxLifetime is the longest a link may work.
	MaxLifetime = 72 * time.Hour
	// MaxInviteLifetime is the longest an invitation may work.
	MaxInviteLifetime = flow.MaxInviteTTL
	// MaxAssertionTTL is the longest an assertion may live.
	MaxAssertionTTL = 5 * time.Minute
	// MaxResends is the largest number of resends of one flow.
	MaxResends = 100
)

// CheckInvite returns an error for a rule that gives nothing, or names what is no role.
func (a *App) CheckInvite() error {
	for _, rule := range a.Invite {
		if len(rule.Gives) == 0 {
			return fmt.Errorf("invite by role %s: it gives no role; write 'invite by role %s gives <role>'", rule.By, rule.By)
		}
		if err := accounts.CheckRoles(append([]string{rule.By}, rule.Gives...)); err != nil {
			return fmt.Errorf("invite by role: %w", err)
		}
	}
	return nil
}

// warnInviteRoles names each role of `invite by role` that no site requires: it may be mistyped.
func (a *App) warnInviteRoles() {
	required := sorted(a.requiredRoles())
	known := required
	for n, rule := range a.Invite {
		for _, role := range append([]string{rule.By}, rule.Gives...) {
			if slices.Contains(known, role) {
				continue
			}
			known = append(slices.Clip(known), role) // each is named once
			remedy := "write 'require role " + role + "' in the site that it is for"
			if len(required) > 0 {
				remedy = nearest.Expected(role, required)
			}
			a.configuration.warn("invite", fmt.Sprintf("%s: invite by role %s: no site requires the role %q", a.Source.prefixNth("invite", n), rule.By, role), remedy)
		}
	}
}

// LifetimeBound returns the largest value of a lifetime.
func LifetimeBound(name string) caddy.Duration {
	if name == "invite" {
		return caddy.Duration(MaxInviteLifetime)
	}
	return caddy.Duration(MaxLifetime)
}

// LimitNames lists the names that `limit` knows.
func LimitNames() []string { return limit.Names() }

// CheckLimitName returns an error for what is not the name of a limit; it says what to write instead.
func CheckLimitName(name string) error { return limit.CheckName(name) }

// policy returns the policy of new passwords.
func (p Password) policy() password.Policy {
	return password.Policy{MinLength: p.MinLength, Last: p.History}
}

// PasswordBounds returns the least and the largest value of `password min_length` and `password history`.
func PasswordBounds(name string) (lowest, highest int) {
	if name == "history" {
		return 0, password.MaxLast
	}
	return password.LowestMinLength, password.MaxLength
}

// offersPasswords reports whether passwords are one of the ways to sign in.
func (a *App) offersPasswords() bool { return slices.Contains(a.SignIn, "password") }

// CheckPassword returns an error if the options of passwords are out of bounds, or set where there are no passwords.
func (a *App) CheckPassword() error {
	if a.Password.MinLength < 0 || a.Password.History < 0 {
		return errors.New("password: a number is below zero")
	}
	if err := a.Password.policy().Validate(); err != nil {
		return err
	}
	if a.Password != (Password{}) && !a.offersPasswords() {
		return errors.New("password: nobody signs in with one here; write 'sign_in link code password' as well, or take the option out")
	}
	return nil
}

// CheckRates returns an error unless all words are rates, such as 5-H, 20-D or 5/h.
func CheckRates(words []string) error {
	_, err := limit.Parse(words...)
	return err
}

// CheckMailbox returns an error unless s is one mailbox as in a From line: an address, or a name and an address in <>.
func CheckMailbox(s string) error {
	if strings.ContainsAny(s, "\r\n\x00") {
		return errors.New("a mailbox is one line")
	}
	if _, err := mime.Mailbox(s); err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	return nil
}

// CheckPrefix returns an error unless s may be the prefix of the gate's own pages: a path of plain segments without a slash at its end.
func CheckPrefix(s string) error {
	if len(s) < 2 || s[0] != '/' || strings.HasSuffix(s, "/") {
		return fmt.Errorf("%q is not a prefix; write one like /email-link or /auth", s)
	}
	for _, segment := range strings.Split(s[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%q has an empty or dot segment", s)
		}
		for _, c := range []byte(segment) {
			if !('a' <= c && c <= 'z') && !('0' <= c && c <= '9') && c != '-' && c != '_' && c != '.' {
				return fmt.Errorf("%q: a prefix is made of lower-case letters, digits, - _ and .", s)
			}
		}
	}
	return nil
}

// linksStateless is the value of App.Links for flows that are carried by their links.
const linksStateless = "stateless"

// checkLinks returns an error for an unknown value of App.Links.
func checkLinks(s string) error {
	switch s {
	case "", "stored", linksStateless:
		return nil
	default:
		return fmt.Errorf("unrecognized links value %q; %s", s, nearest.Expected(s, []string{"stored", linksStateless}))
	}
}

// Check returns an error if the policy or the domains are not usable.
func (s *SignUp) Check() error {
	if s == nil {
		return nil
	}
	switch s.Policy {
	case "", "closed", "invite", "open":
	default:
		return fmt.Errorf("unrecognized sign_up value %q; %s", s.Policy, nearest.Expected(s.Policy, []string{"closed", "invite", "open"}))
	}
	if len(s.Domains) > 0 && s.Policy != "open" {
		return errors.New("sign_up: domains stand behind 'open' only")
	}
	for _, d := range s.Domains {
		if _, err := address.Parse("a@" + d); err != nil {
			return fmt.Errorf("%q is not a mail domain, such as example.com", d)
		}
	}
	return nil
}

// Check returns an error for a word that no account and no token could meet.
func (r Require) Check() error {
	for _, group := range r.Role {
		if len(group) == 0 {
			return errors.New("require role: a value is missing")
		}
		for _, role := range group {
			if role == "" || strings.ContainsAny(role, ", \t") || gate.HasControl(role) {
				return fmt.Errorf("require role: %q is not a role; roles hold no commas and no spaces", role)
			}
		}
	}
	for _, group := range r.Scope {
		if len(group) == 0 {
			return errors.New("require scope: a value is missing")
		}
		for _, s := range group {
			if s == machinetoken.People {
				continue
			}
			if err := machinetoken.CheckScope(s); err != nil {
				return fmt.Errorf("require scope: %w", err)
			}
		}
	}
	for _, group := range r.Email {
		if len(group) == 0 {
			return errors.New("require email: a value is missing")
		}
		for _, pattern := range group {
			if err := address.ParsePattern(pattern); err != nil {
				return fmt.Errorf("require email: %q: %w", pattern, err)
			}
		}
	}
	return nil
}

// CheckScopes returns an error for a word that cannot be a scope, or is given twice.
func CheckScopes(scopes []string) error {
	for i, s := range scopes {
		if err := machinetoken.CheckScope(s); err != nil {
			return fmt.Errorf("scopes: %w", err)
		}
		if s == SelfScopes {
			return fmt.Errorf("scopes: %s is no scope; write it first, in a line of its own: scopes %s <name>…", s, s)
		}
		if slices.Contains(scopes[:i], s) {
			return fmt.Errorf("scopes: %s is given twice", s)
		}
	}
	return nil
}

// SelfScopes is the word of the option `scopes` that says which of them people make tokens for by themselves. It is no scope.
const SelfScopes = "self"

// checkSelfScopes returns an error for a scope of people's own tokens that is none of all.
func checkSelfScopes(self, all []string) error {
	for _, s := range self {
		if !slices.Contains(all, s) {
			return fmt.Errorf("scopes self: %q is not among the scopes; name it in both lists, or in neither", s)
		}
	}
	return nil
}

// scopes returns those with which a token may pass.
func (r Require) scopes() (list []string) {
	for _, group := range r.Scope {
		list = append(list, group...)
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == machinetoken.People })
}

// besideSessions returns the scopes of tokens that pass where sessions do; none where sessions do not.
func (r Require) besideSessions() []string {
	for _, group := range r.Scope {
		if !slices.Contains(group, machinetoken.People) {
			return nil
		}
	}
	return r.scopes()
}

// Empty reports whether nothing is required.
func (r Require) Empty() bool { return len(r.Role) == 0 && len(r.Email) == 0 && len(r.Scope) == 0 }

// checkGranted returns an error for a scope that no token can have.
func (r Require) checkGranted(granted []string) error {
	for _, group := range r.Scope {
		for _, s := range group {
			if s == machinetoken.People || slices.Contains(granted, s) {
				continue
			}
			return fmt.Errorf("require scope: no token can have %q; write 'scopes %s' in the global option email_link", s, strings.Join(append(slices.Clone(granted), s), " "))
		}
	}
	return nil
}

// reserved are headers that mean something to HTTP itself or to this module, folded.
var reserved = func() map[string]bool {
	set := map[string]bool{}
	for _, name := range []string{
		"Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Trailer", "TE",
		"Cookie", "Set-Cookie", "Origin", "Referer", "Accept", "Expect", "Range", "Date", "Email-Link-Start", "Email-Link-Done",
	} {
		set[boundary.Fold(name)] = true
	}
	return set
}()

// credentials are headers, folded, in which clients send credentials of their own.
var credentials = map[string]bool{
	boundary.Fold("Authorization"): true, boundary.Fold("Proxy-Authorization"): true, boundary.Fold("X-Api-Key"): true,
}

// CheckHeaderName reports why the identity cannot be passed in a header of this name.
func CheckHeaderName(name string) error {
	if !httpguts.ValidHeaderFieldName(name) || strings.ContainsAny(name, "_.*") {
		return fmt.Errorf("%q is not a usable header name; write one like Remote-User, without _ and .", name)
	}
	if credentials[boundary.Fold(name)] {
		return fmt.Errorf("%q cannot carry an identity: clients send their own credentials in it, and the gate would remove those from every request to every site; "+
			"write Remote-User, and where the app reads %[1]s alone, copy it behind the gate: reverse_proxy <app> { header_up %[1]s {http.request.header.Remote-User} }", name)
	}
	if reserved[boundary.Fold(name)] {
		return fmt.Errorf("%q has a meaning of its own and cannot carry an identity", name)
	}
	return nil
}

// CheckHeaders returns an error for a name that is not usable or given twice, and for an unknown placeholder.
func CheckHeaders(headers []Header) error {
	seen := map[string]bool{}
	for _, h := range headers {
		if err := CheckHeaderName(h.Name); err != nil {
			return err
		}
		fold := boundary.Fold(h.Name)
		if seen[fold] {
			return fmt.Errorf("%s is given twice, or differs from another by its spelling only", h.Name)
		}
		seen[fold] = true
		if _, err := gate.ParseHeaderValue(h.Value); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

// checkIdentity returns an error if an identity block is not usable, its key aside.
func checkIdentity(id *Identity, headers []Header) error {
	if id == nil {
		return nil
	}
	switch id.Format {
	case "", "jwe", "jws", "none":
	default:
		return fmt.Errorf("unrecognized identity format value %q; %s", id.Format, nearest.Expected(id.Format, []string{"jwe", "jws", "none"}))
	}
	if id.Format == "jws" && id.Key != "" {
		return errors.New("identity: format jws is signed only and uses no key; remove the key or write format jwe")
	}
	if id.Format == "none" && len(id.SignKey) > 0 {
		return errors.New("identity: with format none there is no assertion that a flow of the app's could come back in; remove sign_key or the format")
	}
	if id.Key != "" && slices.Contains(id.SignKey, id.Key) {
		return errors.New("identity: key and sign_key are two keys; whoever opens assertions is not to start flows")
	}
	if id.TTL < 0 || time.Duration(id.TTL) > MaxAssertionTTL || time.Duration(id.TTL)%time.Second != 0 {
		return fmt.Errorf("identity: ttl is %s; it is a number of whole seconds up to %s", time.Duration(id.TTL), MaxAssertionTTL)
	}
	if id.Header != "" {
		if err := CheckHeaderName(id.Header); err != nil {
			return err
		}
		for _, h := range headers {
			if boundary.Fold(h.Name) == boundary.Fold(id.Header) {
				return fmt.Errorf("headers: %s already carries the assertion", h.Name)
			}
		}
	}
	return nil
}

// canonical returns a header name as net/http stores it.
func canonical(name string) string { return http.CanonicalHeaderKey(name) }
