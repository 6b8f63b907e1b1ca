package web

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// problemOf returns what an error of package flow means to the client. What it does not know is a 503: nothing of the inside
// is told.
func (x *exchange) problemOf(err error) problem {
	var limited *flow.Limited
	var invalid *flow.Invalid
	var busy *password.BusyError
	switch {
	case errors.As(err, &limited):
		return x.problemOfLimit(limited)
	case errors.As(err, &invalid):
		p := problemOfField(invalid)
		p.min = x.Site.Passwords.Min()
		return p
	case errors.As(err, &busy):
		return problem{status: http.StatusServiceUnavailable, code: templates.Busy, wait: max(busy.RetryAfter, time.Second)}
	case errors.Is(err, flow.ErrDisabled):
		return problem{status: http.StatusForbidden, code: templates.AccountDisabled}
	case errors.Is(err, flow.ErrSignedOut):
		return x.signInRequired()
	case errors.Is(err, flow.ErrDead):
		return problem{status: http.StatusGone, code: templates.DeadLink}
	case errors.Is(err, flow.ErrChanged):
		return problem{status: http.StatusConflict, code: templates.Changed}
	case errors.Is(err, flow.ErrNoFlow):
		return problem{status: http.StatusNotFound, code: templates.NoFlow}
	case errors.Is(err, flow.ErrAddressClosed):
		return problem{status: http.StatusForbidden, code: templates.AddressNotAdmitted, field: "email"}
	case errors.Is(err, flow.ErrClosed):
		return problem{status: http.StatusForbidden, code: templates.SignUpClosed}
	case errors.Is(err, flow.ErrNoMail):
		return problem{status: http.StatusForbidden, code: templates.MailOff}
	default:
		return problem{status: http.StatusServiceUnavailable, code: templates.Unavailable, wait: retrySoon}
	}
}

// problemOfLimit says which limit refuses, and what to do instead of waiting.
func (x *exchange) problemOfLimit(limited *flow.Limited) problem {
	p := problem{status: http.StatusTooManyRequests, code: templates.Limited, wait: x.retryAfter(limited.RetryAt)}
	switch limited.Name {
	case flow.LimitResend:
		p.code = templates.TooEarly
		return p
	case flow.LimitResends:
		p.code = templates.ResendsSpent
		return p
	case limit.MailInvite:
		p.code = templates.InvitationsLimited
		return p
	case limit.PasswordIP, limit.PasswordMailbox:
		p.code = templates.PasswordLimited
	}
	p.limit = limitWords{address: limited.ByMailbox, reserve: limited.Reserve, mailbox: limited.Mailbox}
	if limited.Page != "" {
		p.limit.altcha = x.path("/altcha?for=" + limited.Page)
	}
	return p
}

// problemOfAddress is problemOf for a form with an address: it finds the character that people do not see.
func (x *exchange) problemOfAddress(err error, address string) problem {
	p := x.problemOf(err)
	if p.code == templates.InvalidEmail {
		p.character, p.position = templates.UnseenCharacter(address)
	}
	return p
}

// problemOfField says what is wrong with one field.
func problemOfField(invalid *flow.Invalid) problem {
	p := problem{status: http.StatusBadRequest, code: templates.BadForm, field: invalid.Field}
	switch invalid.Field {
	case "email":
		p.code = templates.InvalidEmail
		switch invalid.Code {
		case "same":
			p.code = templates.SameAddress
		case "own":
			p.code = templates.OwnAddress
		case "several":
			p.code = templates.SeveralAddresses
		}
	case "role":
		p.code = templates.InvalidRole
	case "invitations":
		p.status, p.code, p.field = http.StatusConflict, templates.TooManyInvitations, ""
	case "name":
		p.code = templates.InvalidName
	case "password", "current":
		problemOfPassword(invalid, &p)
	case "code":
		switch invalid.Code {
		case "wrong":
			p.status, p.code = http.StatusForbidden, templates.WrongCode
			if invalid.Left == 0 {
				p.code = templates.CodesOff // the last one: to compare it with the mail is of no use now
			}
		case "off":
			p.status, p.code = http.StatusForbidden, templates.CodesOff
		default:
			p.code = templates.MalformedCode
		}
	}
	return p
}

// problemOfPassword says what is wrong with a password: with the one in force, or with a new one.
func problemOfPassword(invalid *flow.Invalid, p *problem) {
	switch {
	case invalid.Code == "refused" && invalid.Field == "current":
		p.status, p.code = http.StatusForbidden, templates.WrongCurrent
	case invalid.Code == "refused":
		p.status, p.code = http.StatusForbidden, templates.WrongPassword
	case invalid.Code == "missing" && invalid.Field == "current":
		p.code = templates.MissingCurrent
	case invalid.Code == "missing":
		p.code = templates.MissingPassword
	case invalid.Code == "none":
		p.status, p.code = http.StatusForbidden, templates.NoPassword
	case slices.Contains(password.Reasons(), password.Reason(invalid.Code)):
		p.code = templates.Code("password_" + invalid.Code)
	}
}
