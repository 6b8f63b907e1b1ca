package limit

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Names of the limits, as in `limit <name> <rate>…`.
const (
	MailIP          = "mail_ip"
	MailAddress     = "mail_address"
	MailMailbox     = "mail_mailbox"
	MailKnown       = "mail_known"
	MailStrangers   = "mail_strangers"
	RedeemIP        = "redeem_ip"
	PasswordIP      = "password_ip"
	PasswordMailbox = "password_mailbox"
)

// passwordKnown is the counter of failed passwords from known browsers.
const passwordKnown = "password_mailbox of known browsers"

// Subjects that many share.
const (
	unknownClient = "unknown"
	sharedSubject = "everybody"
)

// tier48Factor is how much more a /48 may do than a /64.
const tier48Factor = 16

// Table holds the rates of each limit. A limit without rates (the zero value) permits everything; start from Defaults.
type Table struct {
	// MailIP counts mails asked for by one client address; a slot is returned when the link is used. Default 60-H 300-D.
	MailIP Rates
	// MailAddress counts mails to one mailbox asked for from one /24 or /64. Default 5-H.
	MailAddress Rates
	// MailMailbox counts mails to one mailbox asked for by strangers together. Default 20-D.
	MailMailbox Rates
	// MailKnown counts mails to one mailbox asked for by browsers that signed in to it before. Default 5-H 20-D.
	MailKnown Rates
	// MailStrangers counts mails to addresses without an account, of the whole gate. Default 500-H.
	MailStrangers Rates
	// RedeemIP counts failed redemptions of one client address. Default 60-H.
	RedeemIP Rates
	// PasswordIP counts failed passwords of one client address. Default 30-H.
	PasswordIP Rates
	// PasswordMailbox counts failed passwords for one mailbox; known browsers have a counter of their own. Default 10-H.
	PasswordMailbox Rates
}

// Defaults returns the rates that hold where nothing is configured.
func Defaults() Table {
	return Table{
		MailIP:          mustParse("60-H", "300-D"),
		MailAddress:     mustParse("5-H"),
		MailMailbox:     mustParse("20-D"),
		MailKnown:       mustParse("5-H", "20-D"),
		MailStrangers:   mustParse("500-H"),
		RedeemIP:        mustParse("60-H"),
		PasswordIP:      mustParse("30-H"),
		PasswordMailbox: mustParse("10-H"),
	}
}

func mustParse(words ...string) Rates {
	rates, err := Parse(words...)
	if err != nil {
		panic(err)
	}
	return rates
}

// Names returns the names of all limits, in the order of Table.
func Names() []string {
	return []string{MailIP, MailAddress, MailMailbox, MailKnown, MailStrangers, RedeemIP, PasswordIP, PasswordMailbox}
}

// Set reads the rates of one limit. The error of an unknown name lists the known ones.
func (t *Table) Set(name string, words ...string) error {
	field := t.field(name)
	if field == nil {
		return fmt.Errorf("unrecognized limit %q; expected one of %s", name, strings.Join(Names(), ", "))
	}
	rates, err := Parse(words...)
	if err != nil {
		return fmt.Errorf("limit %s: %w", name, err)
	}
	*field = rates
	return nil
}

// Rates returns the rates of one limit, none for an unknown name.
func (t *Table) Rates(name string) Rates {
	if field := t.field(name); field != nil {
		return *field
	}
	return nil
}

func (t *Table) field(name string) *Rates {
	switch name {
	case MailIP:
		return &t.MailIP
	case MailAddress:
		return &t.MailAddress
	case MailMailbox:
		return &t.MailMailbox
	case MailKnown:
		return &t.MailKnown
	case MailStrangers:
		return &t.MailStrangers
	case RedeemIP:
		return &t.RedeemIP
	case PasswordIP:
		return &t.PasswordIP
	case PasswordMailbox:
		return &t.PasswordMailbox
	default:
		return nil
	}
}

// Subject is whom a limit counts.
type Subject struct {
	// Client is the address of the client; invalid when it is not known.
	Client netip.Addr
	// Mailbox is address.Address.LimitKey: never the typed string, never the account.
	Mailbox storage.Digest
	// Known says that the browser signed in to this mailbox before.
	Known bool
}

// LimitsFor returns what has to be taken for one limit and subject: one ask, or two for a limit by client address under IPv6. The
// counters of mails lie beside each other, those of one client and those of one mailbox: nearly every request counts them, and
// most of what it costs is the pages that it changes.
//
// An IPv4 address counts by itself. IPv6 counts by /64, what one line or one server gets, and by /48 at 16 times the rates:
// who rents a /48 has 65 536 networks of /64 at hand, while the people of a mobile carrier that share a /48 are few in any
// hour. IPv4 inside IPv6 is IPv4. Clients whose address is not known share one counter at the plain rates.
func (t *Table) LimitsFor(name string, s Subject) []Charge {
	rates := t.Rates(name)
	switch name {
	case MailIP, RedeemIP, PasswordIP:
		return byClient(name, s.Client.Unmap().WithZone(""), rates)
	case MailAddress:
		network := unknownClient
		if prefix := boundary.Network(s.Client); prefix.IsValid() {
			network = prefix.String()
		}
		return []Charge{{Name: name, Subject: string(s.Mailbox[:]) + network, Rates: rates, group: mailboxGroup(s.Mailbox)}}
	case MailMailbox, MailKnown:
		return []Charge{{Name: name, Subject: string(s.Mailbox[:]), Rates: rates, group: mailboxGroup(s.Mailbox)}}
	case PasswordMailbox:
		if s.Known {
			return []Charge{{Name: name, counter: passwordKnown, Subject: string(s.Mailbox[:]), Rates: rates}}
		}
		return []Charge{{Name: name, Subject: string(s.Mailbox[:]), Rates: rates}}
	case MailStrangers:
		return []Charge{{Name: name, Subject: sharedSubject, Rates: rates}}
	default:
		return nil
	}
}

// byClient returns what has to be taken for a limit by client address.
func byClient(name string, client netip.Addr, rates Rates) []Charge {
	group := func(network string) string {
		if name != MailIP {
			return ""
		}
		return "client " + network
	}
	switch {
	case !client.IsValid():
		return []Charge{{Name: name, Subject: unknownClient, Rates: rates, group: group(unknownClient)}}
	case client.Is4():
		return []Charge{{Name: name, Subject: client.String(), Rates: rates, group: group(client.String())}}
	default:
		tier48 := boundary.Wide(client).String()
		return []Charge{
			{Name: name, Subject: boundary.Network(client).String(), Rates: rates, group: group(tier48)},
			{Name: name, Subject: tier48, Rates: rates.scaled(tier48Factor), tier48: true, group: group(tier48)},
		}
	}
}

// mailboxGroup names the group of the counters of mails to one mailbox.
func mailboxGroup(mailbox storage.Digest) string { return "mailbox " + string(mailbox[:]) }

// inspected lists the asks of every limit that counts a subject; for the zero Subject, those of the counters that many share.
func (t *Table) inspected(s Subject) []Charge {
	var charges []Charge
	if s == (Subject{}) {
		charges = t.LimitsFor(MailStrangers, s)
	}
	if s.Client.IsValid() || s == (Subject{}) {
		for _, name := range []string{MailIP, RedeemIP, PasswordIP} {
			charges = append(charges, t.LimitsFor(name, s)...)
		}
		charges = append(charges, t.clientSuccessLimits(s)...)
	}
	if s.Mailbox.IsZero() {
		return charges
	}
	if s.Client.IsValid() {
		charges = append(charges, t.LimitsFor(MailAddress, s)...)
	}
	for _, name := range []string{MailMailbox, MailKnown} {
		charges = append(charges, t.LimitsFor(name, s)...)
	}
	for _, known := range []bool{false, true} {
		charges = append(charges, t.LimitsFor(PasswordMailbox, Subject{Mailbox: s.Mailbox, Known: known})...)
	}
	_, successes := t.SuccessLimits(Subject{Mailbox: s.Mailbox, Known: true})
	charges = append(append(charges, successes...), t.SignInNotice(s)...)
	return charges
}
