package flow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// SignUpMode says who may make an account.
type SignUpMode uint8

// Modes of signing up.
const (
	// SignUpClosed disables sign-up; only operators create accounts.
	SignUpClosed SignUpMode = iota
	// SignUpInvite limits sign-up to invited addresses.
	SignUpInvite
	// SignUpOpen lets every address sign up, in one of the domains where domains are named.
	SignUpOpen
)

// String returns the word of the configuration.
func (m SignUpMode) String() string {
	switch m {
	case SignUpClosed:
		return "closed"
	case SignUpInvite:
		return "invite"
	case SignUpOpen:
		return "open"
	default:
		return "unknown"
	}
}

// SignUp is the policy of new accounts. The zero value is closed.
type SignUp struct {
	Mode SignUpMode
	// Domains limits SignUpOpen to addresses in exactly these domains, in canonical form; empty: any.
	Domains []string
}

// ParseSignUp reads `closed`, `invite` or `open [<domain>…]`.
func ParseSignUp(words ...string) (SignUp, error) {
	if len(words) == 0 {
		return SignUp{}, errors.New("sign_up: write closed, invite or open")
	}
	switch mode := words[0]; mode {
	case "closed", "invite":
		if len(words) > 1 {
			return SignUp{}, fmt.Errorf("sign_up %s: takes no further word", mode)
		}
		if mode == "invite" {
			return SignUp{Mode: SignUpInvite}, nil
		}
		return SignUp{}, nil
	case "open":
		s := SignUp{Mode: SignUpOpen}
		for _, domain := range words[1:] {
			a, err := address.Parse("x@" + domain)
			if err != nil || strings.Contains(domain, "@") {
				return SignUp{}, fmt.Errorf("sign_up open: %q is no mail domain such as example.com", domain)
			}
			s.Domains = append(s.Domains, a.Domain())
		}
		return s, nil
	default:
		return SignUp{}, fmt.Errorf("sign_up: unrecognized word %q, write closed, invite or open", mode)
	}
}

// Admits reports whether this address may make an account here, by the address alone. SignUpInvite admits none: an invitation does.
func (s SignUp) Admits(a address.Address) bool {
	return s.Mode == SignUpOpen && (len(s.Domains) == 0 || slices.Contains(s.Domains, a.Domain()))
}

// Methods are the ways of signing in that a site offers. The zero value means link and code.
type Methods struct {
	Link, Code, Password bool
}

// ParseMethods reads the words link, code and password, each at most once.
func ParseMethods(words ...string) (Methods, error) {
	var m Methods
	if len(words) == 0 {
		return m, errors.New("sign_in: write one or more of link, code, password")
	}
	for _, word := range words {
		var field *bool
		switch word {
		case "link":
			field = &m.Link
		case "code":
			field = &m.Code
		case "password":
			field = &m.Password
		default:
			return Methods{}, fmt.Errorf("sign_in: unrecognized method %q, write one or more of link, code, password", word)
		}
		if *field {
			return Methods{}, fmt.Errorf("sign_in: %s stands twice", word)
		}
		*field = true
	}
	return m, nil
}

// WithDefaults returns link and code for the zero value, and m itself otherwise.
func (m Methods) WithDefaults() Methods {
	if m == (Methods{}) {
		return Methods{Link: true, Code: true}
	}
	return m
}

// Defaults of options that are not set.
const (
	DefaultActivation = 24 * time.Hour
	DefaultSignIn     = 15 * time.Minute
	DefaultReset      = 30 * time.Minute
	DefaultInvite     = 7 * 24 * time.Hour
	DefaultResends    = 5
	DefaultResendWait = time.Minute
	DefaultIdle       = 7 * 24 * time.Hour
	DefaultAbsolute   = 30 * 24 * time.Hour
)

// withDefaults returns the site with each option that is not set at its default.
func (s Site) withDefaults() Site {
	s.Methods = s.Methods.WithDefaults()
	setDefault(&s.Lifetimes.Activation, DefaultActivation)
	setDefault(&s.Lifetimes.SignIn, DefaultSignIn)
	setDefault(&s.Lifetimes.Reset, DefaultReset)
	setDefault(&s.Lifetimes.Invite, DefaultInvite)
	setDefault(&s.ResendWait, DefaultResendWait)
	setDefault(&s.SessionIdle, DefaultIdle)
	setDefault(&s.SessionAbsolute, DefaultAbsolute)
	if s.Resends == nil {
		n := DefaultResends
		s.Resends = &n
	}
	return s
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// lifetime returns how long a flow of this purpose lives.
func (s Site) lifetime(purpose string) time.Duration {
	switch purpose {
	case Activation, Address:
		return s.Lifetimes.Activation
	case TakeBack:
		return TakeBackLifetime
	case Reset:
		return s.Lifetimes.Reset
	case Invite:
		return s.Lifetimes.Invite
	default:
		return s.Lifetimes.SignIn
	}
}

// signInEnds returns when the mails of a sign-up stop signing in to an account that was there before them: as a sign-in's would, counted from the last
// of them. It is the mail's own end unless the wait between two mails has been configured anew since.
func (s Site) signInEnds(f storage.Flow) time.Time {
	last := f.NextResend.Add(-s.ResendWait)
	if last.Before(f.Started) {
		last = f.Started
	}
	return last.Add(s.Lifetimes.SignIn)
}

// mailsLink and mailsCode say what a mail of this purpose carries. An activation always has a link: there is no account yet
// that could prefer otherwise. A reset has a link and never a code: it ends on a page with a form, which a link leads to, and
// a code typed into a page that an attacker has led there would give the account away. A proof has a code whatever people sign in with, and no
// link: it holds in the browser that asked alone. A new mailbox confirms by either; the one before agrees by a link, and takes back by one. An invitation
// has a link alone: no browser has asked for it.
func (s Site) mailsLink(purpose string) bool {
	return purpose != Proof && (purpose != SignIn || s.Methods.Link)
}

func (s Site) mailsCode(purpose string) bool {
	switch purpose {
	case Proof, Address:
		return true
	case Reset, AddressConsent, TakeBack, Invite:
		return false
	default:
		return s.Methods.Code
	}
}

// about returns what passwords of a person here are not to be made of.
func (s Site) about(email, name string) password.Words {
	_, host, _ := strings.Cut(s.Origin, "://")
	return password.Words{Site: append([]string{host}, s.PasswordWords...), Email: email, Name: name}
}

// base returns the address below which our pages live.
func (s Site) base() string { return s.Origin + strings.TrimSuffix(s.Prefix, "/") }
