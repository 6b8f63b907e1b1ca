package templates

import (
	"fmt"
	"strings"
	"time"
)

// Code names a problem in a stable way, in JSON answers and in the catalogue.
type Code string

// Problems that a page or a JSON answer may name.
const (
	BadForm      Code = "bad_form"
	InvalidEmail Code = "invalid_email"
	MissingEmail Code = "missing_email"
	InvalidName  Code = "invalid_name"
	// InvalidTimezone: what was chosen is not the name of a time zone.
	InvalidTimezone Code = "invalid_timezone"
	// SameAddress and AddressNotAdmitted: an account cannot be given the address by its owner.
	SameAddress        Code = "same_address"
	AddressNotAdmitted Code = "address_not_admitted"

	MalformedCode    Code = "malformed_code"
	WrongCode        Code = "wrong_code"
	CodesOff         Code = "codes_off"
	NoFlow           Code = "no_flow"
	TooEarly         Code = "too_early"
	ResendsSpent     Code = "resends_spent"
	Limited          Code = "limited"
	Changed          Code = "changed"
	DeadLink         Code = "dead_link"
	IncompleteLink   Code = "incomplete_link"
	SignInRequired   Code = "sign_in_required"
	SignUpClosed     Code = "sign_up_closed"
	MailOff          Code = "mail_off"
	BadRequest       Code = "bad_request"
	Forbidden        Code = "forbidden"
	CrossOrigin      Code = "cross_origin"
	UpgradeOrigin    Code = "upgrade_origin"
	InvalidToken     Code = "invalid_token"
	TokenNotAllowed  Code = "token_not_allowed"
	NotFound         Code = "not_found"
	MethodNotAllowed Code = "method_not_allowed"
	TooLarge         Code = "too_large"
	Misdirected      Code = "misdirected"
	Unavailable      Code = "unavailable"
	// Portal: people sign in at another address.
	Portal Code = "portal"
	// Busy: passwords are being compared for as many people as there is room for.
	Busy Code = "busy"
	// Of signing in with a password: WrongPassword is the one answer to every pair that does not fit.
	MissingPassword Code = "missing_password"
	WrongPassword   Code = "wrong_password"
	PasswordLimited Code = "password_limited"
	AccountDisabled Code = "account_disabled"
	// Of changing it.
	MissingCurrent Code = "missing_current_password"
	WrongCurrent   Code = "wrong_current_password"
	NoPassword     Code = "no_password"
	// Of a new one: "password_" and a word of package password's reasons.
	PasswordTooShort          Code = "password_too_short"
	PasswordTooLong           Code = "password_too_long"
	PasswordTooCommon         Code = "password_too_common"
	PasswordContainsName      Code = "password_contains_name"
	PasswordSameAsCurrent     Code = "password_same_as_old"
	PasswordReused            Code = "password_reused"
	PasswordInvalidCharacters Code = "password_invalid_characters"

	// OtherAddress: what was typed is not the address of the account that is to be deleted.
	OtherAddress Code = "other_address"
	// InvalidScope and InvalidDays: of a new machine token.
	InvalidScope Code = "invalid_scope"
	InvalidDays  Code = "invalid_days"
	// Of an invitation: OwnAddress is the inviter's own, SeveralAddresses more than one at once, InvalidRole a role that the inviter does not
	// give, or none; TooManyInvitations may be accepted already, and InvitationsLimited were sent of late.
	OwnAddress         Code = "own_address"
	SeveralAddresses   Code = "several_addresses"
	InvalidRole        Code = "invalid_role"
	TooManyInvitations Code = "too_many_invitations"
	InvitationsLimited Code = "invitations_limited"

	Internal Code = "internal"
)

// Codes lists every problem; each has its message "problem.<code>".
var Codes = []Code{
	BadForm, InvalidEmail, MissingEmail, SameAddress, AddressNotAdmitted, InvalidName, InvalidTimezone, MalformedCode, WrongCode, CodesOff, NoFlow, TooEarly, ResendsSpent,
	Limited, Changed, DeadLink, IncompleteLink, SignInRequired, SignUpClosed, MailOff, BadRequest, Forbidden, CrossOrigin, UpgradeOrigin, InvalidToken, TokenNotAllowed,
	NotFound, MethodNotAllowed, TooLarge, Misdirected, Portal, Unavailable, Internal, Busy, MissingPassword,
	WrongPassword, PasswordLimited, AccountDisabled, MissingCurrent, WrongCurrent, NoPassword, PasswordTooShort, PasswordTooLong,
	PasswordTooCommon, PasswordContainsName, PasswordSameAsCurrent, PasswordReused, PasswordInvalidCharacters, OtherAddress, InvalidScope, InvalidDays,
	OwnAddress, SeveralAddresses, InvalidRole, TooManyInvitations, InvitationsLimited,
}

// Problem is what went wrong, on the page of the form it happened at. The zero value is no problem.
type Problem struct {
	Code Code
	// Wait is the time until it may be tried again, for TooEarly, Limited, PasswordLimited, InvitationsLimited and Busy.
	Wait time.Duration
	// Min is the least number of characters, for PasswordTooShort.
	Min int
	// Address is set when Limited or PasswordLimited counts the address, which other people's requests can spend, and not the network.
	Address bool
	// Mail is set when PasswordLimited leaves signing in by mail.
	Mail bool
	// Reserve is set when a mail leaves all the same if this network has a session of the address's account.
	Reserve bool
	// Challenge is the path of the proof of work that a script may solve in place of waiting; empty for none.
	Challenge string
	// Character is the one that no address has, for InvalidEmail, and Position its place, counted from 1; zero: the whole is no address.
	Character rune
	Position  int
}

// Is reports whether p is one of the problems; templates use it to tie a message to its field.
func (p Problem) Is(codes ...string) bool {
	for _, c := range codes {
		if p.Code == Code(c) {
			return true
		}
	}
	return false
}

// NewPassword reports whether p is about the new password, so that the message is tied to its field.
func (p Problem) NewPassword() bool {
	return p.Code == MissingPassword || strings.HasPrefix(string(p.Code), "password_") && p.Code != PasswordLimited
}

// key names the message.
func (p Problem) key() string {
	switch {
	case p.Code == SignInRequired:
		return "problem." + string(SignInRequired) // put together once: strangers cause it
	case p.Address:
		return "problem." + string(p.Code) + ".address"
	case p.Code == InvalidEmail && p.Character != 0:
		return "problem.invalid_email." + kindOfCharacter(p.Character)
	}
	return "problem." + string(p.Code)
}

func (p Problem) pairs() []any {
	switch p.Code {
	case TooEarly, Limited, PasswordLimited, InvitationsLimited, Busy:
		return []any{"wait", p.Wait}
	case PasswordTooShort:
		return []any{"min", p.Min}
	case InvalidEmail:
		if p.Character != 0 {
			return []any{"position", p.Position, "sign", string(p.Character), "code", fmt.Sprintf("U+%04X", p.Character)}
		}
	}
	return nil
}
