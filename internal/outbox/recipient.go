package outbox

import (
	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// lookup finds out whom a mail is for. Where an app has started the flow, the app has said whether there is a user.
func lookup(tx storage.Tx, d *Delivery, m storage.Mail, p Payload) (a accounts.Account, found bool, err error) {
	if p.App {
		return a, !p.NoAccount && m.Purpose != Activation, nil
	}
	if m.Purpose == TakeBack { // it is for the mailbox, and for no account
		return a, false, nil
	}
	if a, found, err = d.Accounts.ByEmail(tx, p.To); err != nil || m.Purpose != Address {
		return a, found, err
	}
	f, _, err := tx.Flows().Get(m.Flow)
	if found && f.Account == a.ID { // the address that the account had before is free for that account alone
		return accounts.Account{}, false, err
	}
	return a, found, err
}

// chooseKind returns the kind of message that a mailbox gets, and why it is dropped. Where there is no recipient the kind is still
// chosen, so that it can be rendered and dropped.
func chooseKind(purpose string, p Payload, a accounts.Account, found bool) (kind mailer.Kind, drop string) {
	if found && !p.App && a.Status != accounts.Active {
		drop = dropNoRecipient
	}
	switch {
	case purpose == TakeBack:
		return mailer.KindAddressChanged, ""
	case purpose == AddressConsent:
		if !found {
			drop = dropNoRecipient
		}
		return mailer.KindAddressConsent, drop
	case purpose == Address && !found:
		return mailer.KindAddressNew, drop
	case p.NoAccount:
		return mailer.KindNoAccount, drop
	case (purpose == Activation || purpose == Address) && found:
		return mailer.KindAccountExists, drop
	case purpose == Activation && p.Invited, purpose == Invite:
		return mailer.KindInvite, drop
	case purpose == Activation:
		return mailer.KindLink, drop
	case !found && p.SignUpOpen:
		return mailer.KindNoAccount, drop
	case !found:
		drop = dropNoRecipient
	}
	switch purpose {
	case Reset:
		return mailer.KindReset, drop
	case Proof:
		return mailer.KindProof, drop
	}
	return mailer.KindLink, drop
}
