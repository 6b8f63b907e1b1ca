package flow

import (
	"context"
)

// SignInInput is what a person fills in to sign in with a password.
type SignInInput struct {
	// Email is the address as typed.
	Email string
	// Password is the password as typed.
	Password string
	// ReturnTo is the path to go to afterwards, as in RequestInput.
	ReturnTo string
}

// ChangeInput is what a signed-in person fills in to change the password.
type ChangeInput struct {
	// Current is the password in force, New the one to come.
	Current, New string
}

// OffersPasswords says whether people sign in with passwords at this site.
func (s *Service) OffersPasswords(site Site) bool { return s.Passwords != nil && site.Methods.Password }

// SignIn signs in with a password.
//
// Errors: *Invalid (password: "not_offered", "missing"; email: "syntax"; password: "refused", the one answer for an unknown
// address, a wrong password, an account without one and a disabled one), *Limited (password_ip, password_mailbox), ErrDisabled
// (after the right password only), *password.BusyError, ErrUnavailable, that of ctx. Whatever the password was compared with,
// the answer comes at one fixed time.
func (s *Service) SignIn(ctx context.Context, site Site, asker Asker, in SignInInput) (Done, error) {
	return Done{}, ErrUnavailable
}

// ChangePassword changes the password of the account that this browser is signed in to, given the one in force. Everything
// else of the account ends – sessions, links, flows – and this browser gets a new session.
//
// Errors: ErrSignedOut; *Invalid (password: "not_offered" and the codes of password.Reasons; current: "none" when the account
// has no password, which a reset sets, and "refused"); *Limited (password_mailbox), *password.BusyError, ErrUnavailable.
func (s *Service) ChangePassword(ctx context.Context, site Site, asker Asker, in ChangeInput) (Done, error) {
	return Done{}, ErrUnavailable
}

// HasPassword says whether the account that this browser is signed in to has a password.
func (s *Service) HasPassword(ctx context.Context, asker Asker) (bool, error) {
	return false, ErrUnavailable
}
