package limit

import "github.com/caddy-email-link/caddy-email-link/storage"

// Names of limits that have no option of their own: they follow from others.
const (
	// PasswordRight counts right passwords, at rightFactor times the rates of wrong ones. Somebody who has an account could else
	// keep the hasher busy, and so everybody else out, and fill the disk with sessions.
	PasswordRight = "password_right"
	// Notices counts the mails that tell somebody of sign-ins with the password, at the rates of MailKnown.
	Notices = "mail_notices"
)

const (
	rightFactor = 20
	// rightClient is the counter of right passwords from one client address.
	rightClient = "password_right of a client"
)

// Rights returns what a right password costs. early is what may be asked before the password is compared, when nobody has proven
// anything: whether it is spent does not tell a stranger whether there is an account.
func (t *Table) Rights(s Subject) (early, all []Ask) {
	mailbox := []Ask{{Name: PasswordRight, Subject: string(s.Mailbox[:]), Rates: t.PasswordMailbox.times(rightFactor)}}
	if s.Known {
		return mailbox, mailbox
	}
	early = t.clientRights(s)
	return early, append(mailbox, early...)
}

// clientRights returns what a right password costs the client.
func (t *Table) clientRights(s Subject) []Ask {
	asks := t.Asks(PasswordIP, s)
	for i := range asks {
		asks[i].Name, asks[i].counter, asks[i].Rates = PasswordRight, rightClient, asks[i].Rates.times(rightFactor)
	}
	return asks
}

// Old returns what an old password costs on the form of one reset. Whoever knows the password, and spends what it costs elsewhere,
// keeps nobody from setting another one.
func (t *Table) Old(flow storage.Digest) []Ask {
	return []Ask{{Name: PasswordRight, counter: "password_right of a reset", Subject: string(flow[:]), Rates: t.PasswordMailbox.times(rightFactor)}}
}

// Notice returns what a mail costs that tells of a sign-in with the password.
func (t *Table) Notice(s Subject) []Ask {
	return []Ask{{Name: Notices, Subject: string(s.Mailbox[:]), Rates: t.MailKnown}}
}
