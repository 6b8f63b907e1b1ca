package limit

import "github.com/caddy-email-link/caddy-email-link/storage"

// Names of limits that have no option of their own: they follow from others.
const (
	// PasswordSuccess counts right passwords, at successFactor times the rates of wrong ones. Somebody who has an account could else
	// keep the hasher busy, and so everybody else out, and fill the disk with sessions.
	PasswordSuccess = "password_right"
	// SignInNotices counts the mails that tell somebody of sign-ins with the password, at the rates of MailKnown.
	SignInNotices = "mail_notices"
)

const (
	successFactor = 20
	// successClient is the counter of right passwords from one client address.
	successClient = "password_right of a client"
)

// SuccessLimits returns what a right password costs. early is what may be asked before the password is compared, when nobody has proven
// anything: whether it is spent does not tell a stranger whether there is an account.
func (t *Table) SuccessLimits(s Subject) (preCheck, all []Charge) {
	mailbox := []Charge{{Name: PasswordSuccess, Subject: string(s.Mailbox[:]), Rates: t.PasswordMailbox.scaled(successFactor)}}
	if s.Known {
		return mailbox, mailbox
	}
	preCheck = t.clientSuccessLimits(s)
	return preCheck, append(mailbox, preCheck...)
}

// clientSuccessLimits returns what a right password costs the client.
func (t *Table) clientSuccessLimits(s Subject) []Charge {
	charges := t.LimitsFor(PasswordIP, s)
	for i := range charges {
		charges[i].Name, charges[i].counter, charges[i].Rates = PasswordSuccess, successClient, charges[i].Rates.scaled(successFactor)
	}
	return charges
}

// ReusedPassword returns what an old password costs on the form of one reset. Whoever knows the password, and spends what it costs elsewhere,
// keeps nobody from setting another one.
func (t *Table) ReusedPassword(flow storage.Digest) []Charge {
	return []Charge{{Name: PasswordSuccess, counter: "password_right of a reset", Subject: string(flow[:]), Rates: t.PasswordMailbox.scaled(successFactor)}}
}

// SignInNotice returns what a mail costs that tells of a sign-in with the password.
func (t *Table) SignInNotice(s Subject) []Charge {
	return []Charge{{Name: SignInNotices, Subject: string(s.Mailbox[:]), Rates: t.MailKnown}}
}
