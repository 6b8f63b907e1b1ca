package limit

import "github.com/caddy-email-link/caddy-email-link/storage"

// Names of limits that have no option of their own: they follow from others.
const (
	// PasswordSuccess counts right passwords, at successFactor times the rates of wrong ones. An account's owner could otherwise
	// occupy the shared hasher, and fill the disk with sessions.
	PasswordSuccess = "password_right"
	// SignInNotices counts the mails about sign-ins with a password, at the rates of MailKnown.
	SignInNotices = "mail_notices"
)

const (
	successFactor = 20
	// successClient is the counter of right passwords from one client address.
	successClient = "password_right of a client"
	// successReset is the counter of reused passwords on the form of one reset.
	successReset = "password_right of a reset"
)

// SuccessLimits returns what a right password is charged. preCheck is what may be checked before the password is compared, when
// nothing has been proven yet: whether it is spent does not reveal whether there is an account.
func (t Table) SuccessLimits(s Subject) (preCheck, all []Charge) {
	mailbox := []Charge{t.success(string(s.Mailbox[:]))}
	if s.Known {
		return mailbox, mailbox
	}
	preCheck = t.clientSuccessLimits(s)
	return preCheck, append(mailbox, preCheck...)
}

func (t Table) success(subject string) Charge {
	return Charge{Name: PasswordSuccess, Subject: subject, Rates: t[PasswordMailbox].scaled(successFactor), mailbox: true}
}

// clientSuccessLimits returns what a right password is charged to the client.
func (t Table) clientSuccessLimits(s Subject) []Charge {
	charges := t.LimitsFor(PasswordIP, s)
	for i := range charges {
		charges[i].Name, charges[i].counter, charges[i].Rates = PasswordSuccess, successClient, charges[i].Rates.scaled(successFactor)
	}
	return charges
}

// ReusedPassword returns what a reused password is charged on the form of one reset. A client that knows the password, and spends
// the limit elsewhere, does not keep the owner from setting another one.
func (t Table) ReusedPassword(flow storage.Digest) []Charge {
	c := t.success(string(flow[:]))
	c.counter = successReset
	return []Charge{c}
}

// SignInNotice returns what a mail about a sign-in with a password is charged.
func (t Table) SignInNotice(s Subject) []Charge {
	return []Charge{{Name: SignInNotices, Subject: string(s.Mailbox[:]), Rates: t[MailKnown]}}
}
