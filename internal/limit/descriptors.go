package limit

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/nearest"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Names of the limits, as in `limit <name> <rate>…`.
const (
	MailIP          = "mail_ip"
	MailAddress     = "mail_address"
	MailMailbox     = "mail_mailbox"
	MailKnown       = "mail_known"
	MailWork        = "mail_work"
	MailUnknown     = "mail_unknown"
	MailNetwork     = "mail_network"
	MailProof       = "mail_proof"
	MailInvite      = "mail_invite"
	RedeemIP        = "redeem_ip"
	PasswordIP      = "password_ip"
	PasswordMailbox = "password_mailbox"
	PasswordWork    = "password_work"
	WorkIP          = "work_ip"
)

// Descriptor is all that there is to know about one limit. A new limit is one entry of descriptors.
type Descriptor struct {
	// Name is the limit's, in the configuration, at the command line, in logs and in metrics.
	Name string
	// Defaults are its rates where nothing is configured.
	Defaults string
	// Doc says what it counts.
	Doc string

	key key
	// known is the counter of known browsers, empty where they share the one of everybody else.
	known string
	// whole names the limit whose budget this one is a share of, empty for a limit that is no share.
	whole string
	// rolling is set when rates by the day hold in any 24 hours, and not only in windows of a day: an inbox is to be protected at their
	// edges, too.
	rolling bool
	// grouped counters lie beside those of other grouped limits with the same client or mailbox: nearly every request for a mail
	// counts them, and most of what that costs is the pages that it changes.
	grouped bool
}

// key is what a limit counts by.
type key uint8

const (
	byClient            key = iota // the client address, under IPv6 in two tiers
	byMailbox                      // the mailbox
	byMailboxAndNetwork            // the mailbox together with the client's /24 or /64
	byNetwork                      // the client's /24 or /48
	byGate                         // nothing: the whole gate shares one counter
)

var descriptors = []Descriptor{
	{
		Name: MailIP, Defaults: "60-H 300-D", key: byClient, grouped: true,
		Doc: "mails requested by one client address; one is refunded when its link is used",
	},
	{
		Name: MailAddress, Defaults: "5-H", key: byMailboxAndNetwork, grouped: true, whole: MailMailbox,
		Doc: "mails to one mailbox, requested from one /24 or /64",
	},
	{
		Name: MailMailbox, Defaults: "20-D", key: byMailbox, grouped: true, rolling: true,
		Doc: "mails to one mailbox, requested by all browsers together",
	},
	{
		Name: MailKnown, Defaults: "5-D", key: byMailbox, grouped: true, rolling: true,
		Doc: "mails to one mailbox above mail_mailbox, for browsers that have signed in to it before; networks of its account's sessions have half of them",
	},
	{
		Name: MailWork, Defaults: "5-D", key: byMailbox, grouped: true, rolling: true,
		Doc: "mails to one mailbox above the other limits, for solved proofs of work",
	},
	{
		Name: MailUnknown, Defaults: "500-H 2000-D", key: byGate,
		Doc: "mails requested by unknown browsers, of the whole gate; above it mails to addresses without an account wait",
	},
	{
		Name: MailNetwork, Defaults: "50-H 200-D", key: byNetwork, whole: MailUnknown,
		Doc: "the share of one network, a /24 or a /48, in mail_unknown",
	},
	{
		Name: MailProof, Defaults: "10-H 30-D", key: byMailbox,
		Doc: "codes for acts on an account, mailed to its owner at the request of a signed-in browser",
	},
	{
		Name: MailInvite, Defaults: "20-D", key: byMailbox,
		Doc: "invitations that one account sends from its own page",
	},
	{
		Name: RedeemIP, Defaults: "60-H", key: byClient,
		Doc: "failed redemptions of links and codes by one client address",
	},
	{
		Name: PasswordIP, Defaults: "30-H", key: byClient,
		Doc: "failed passwords from one client address",
	},
	{
		Name: PasswordMailbox, Defaults: "10-H", key: byMailbox, known: passwordKnown,
		Doc: "failed passwords for one mailbox; known browsers have a counter of their own",
	},
	{
		Name: PasswordWork, Defaults: "5-H", key: byMailbox,
		Doc: "passwords for one mailbox above the other limits, for solved proofs of work",
	},
	{
		Name: WorkIP, Defaults: "10-H 30-D", key: byClient,
		Doc: "mails and passwords for proofs of work that one client address has solved",
	},
}

// renamed are limits that had another name.
var renamed = map[string]string{"mail_strangers": MailUnknown}

// passwordKnown is the counter of failed passwords from known browsers.
const passwordKnown = "password_mailbox of known browsers"

// Subjects that many clients share.
const (
	unknownClient = "unknown"
	sharedSubject = "everybody"
)

// sharesGroup is the group of a budget that all share, of the shares in it, and of what the operator has been told about them. Their
// windows begin and end together: otherwise a network could spend two of its shares within one window of the whole, and the operator would be
// told twice of one.
const sharesGroup = "shares"

// tier48Factor is how much more a /48 may do than a /64.
const tier48Factor = 16

// Descriptors returns all limits, in the order in which they are listed everywhere.
func Descriptors() []Descriptor { return slices.Clone(descriptors) }

// Names returns the names of all limits.
func Names() []string {
	names := make([]string, len(descriptors))
	for i, d := range descriptors {
		names[i] = d.Name
	}
	return names
}

// CheckName returns an error for what is not the name of a limit. The error says what to write instead.
func CheckName(name string) error {
	if now, ok := renamed[name]; ok {
		return fmt.Errorf("limit %s is called %s now; write 'limit %s'", name, now, now)
	}
	if !slices.Contains(Names(), name) {
		return fmt.Errorf("unrecognized limit %q; %s", name, nearest.Expected(name, Names()))
	}
	return nil
}

// Table holds the rates of each limit, by name. A limit without rates permits everything, and so does the nil Table; start from
// Defaults.
type Table map[string]Rates

// Defaults returns the rates that hold where nothing is configured.
func Defaults() Table {
	t := Table{}
	for _, d := range descriptors {
		if err := t.Set(d.Name, strings.Fields(d.Defaults)...); err != nil {
			panic(err)
		}
	}
	return t
}

// Set parses and sets the rates of one limit. The error of an unknown name lists the known ones. t must not be nil.
func (t Table) Set(name string, words ...string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	rates, err := Parse(words...)
	if err != nil {
		return fmt.Errorf("limit %s: %w", name, err)
	}
	if err := rates.checkOrder(name); err != nil {
		return err
	}
	t[name] = rates
	return nil
}

// Subject is whom a limit counts.
type Subject struct {
	// Client is the address of the client; invalid when it is not known.
	Client netip.Addr
	// Mailbox is address.Address.LimitKey: never the typed string, never the account.
	Mailbox storage.Digest
	// Known is set when the browser signed in to this mailbox before.
	Known bool
}

// LimitsFor returns what one limit charges a subject: one charge, or two for a limit by client address under IPv6.
//
// An IPv4 address counts by itself. IPv6 counts by /64, what one line or one server gets, and by /48 at 16 times the rates:
// who rents a /48 has 65 536 networks of /64 at hand, while the people of a mobile carrier that share a /48 are few in any
// hour. IPv4 inside IPv6 is IPv4. Clients whose address is not known share one counter at the plain rates.
func (t Table) LimitsFor(name string, s Subject) []Charge {
	for _, d := range descriptors {
		if d.Name == name {
			return d.charges(t[name], s)
		}
	}
	return nil
}

func (d *Descriptor) charges(rates Rates, s Subject) []Charge {
	c := Charge{Name: d.Name, Rates: rates, mailbox: d.key == byMailbox || d.key == byMailboxAndNetwork, rolling: d.rolling}
	switch d.key {
	case byClient:
		return d.byClient(c, s.Client.Unmap().WithZone(""))
	case byMailboxAndNetwork:
		network := unknownClient
		if prefix := boundary.Network(s.Client); prefix.IsValid() {
			network = prefix.String()
		}
		c.Subject, c.group = string(s.Mailbox[:])+network, d.group("mailbox ", string(s.Mailbox[:]))
	case byMailbox:
		c.Subject, c.group = string(s.Mailbox[:]), d.group("mailbox ", string(s.Mailbox[:]))
		if s.Known {
			c.counter = d.known
		}
	case byNetwork:
		c.Subject, c.group, c.soft = networkName(s.Client), sharesGroup, true
	case byGate:
		c.Subject, c.group, c.soft = sharedSubject, sharesGroup, true
	}
	return []Charge{c}
}

// OwnNetworks returns what a mail above MailMailbox is charged that was requested from a network of the account's sessions: MailKnown's
// counter, of which it may spend half, rounded up. So neighbours of the owner leave something to the browsers that are known.
func (t Table) OwnNetworks(s Subject) []Charge {
	charges := t.LimitsFor(MailKnown, s)
	for i := range charges {
		charges[i].Rates = charges[i].Rates.halved()
	}
	return charges
}

// Work returns what a solved proof of work is charged in place of the limits that refused: name is MailWork or PasswordWork, once the
// counter of the solution itself, which is spent once; zero where none is to be spent.
func (t Table) Work(name string, s Subject, once storage.Key) []Charge {
	charges := append(t.LimitsFor(name, s), t.LimitsFor(WorkIP, s)...)
	return append(charges, Charge{Name: WorkIP, once: once})
}

// networkName returns the /24 or the /48 of a client, and one name for all clients whose address is not known.
func networkName(client netip.Addr) string {
	if prefix := boundary.Wide(client); prefix.IsValid() {
		return prefix.String()
	}
	return unknownClient
}

// byClient returns the charges of a limit by client address.
func (d *Descriptor) byClient(c Charge, client netip.Addr) []Charge {
	switch {
	case !client.IsValid():
		c.Subject = unknownClient
	case client.Is4():
		c.Subject = client.String()
	default:
		wide := c
		wide.Subject, wide.Rates, wide.tier48 = boundary.Wide(client).String(), c.Rates.scaled(tier48Factor), true
		wide.group = d.group("client ", wide.Subject)
		c.Subject, c.group = boundary.Network(client).String(), wide.group
		return []Charge{c, wide}
	}
	c.group = d.group("client ", networkName(client))
	return []Charge{c}
}

// group names the counters that those of a limit lie beside, empty for a limit whose counters lie anywhere.
func (d *Descriptor) group(kind, name string) string {
	if !d.grouped {
		return ""
	}
	return kind + name
}

// inspected returns the charges of every limit that counts a subject; for the zero Subject, those of the counters that many
// clients share.
func (t Table) inspected(s Subject) []Charge {
	var charges []Charge
	shared, client, mailbox := s == (Subject{}), s.Client.IsValid(), !s.Mailbox.IsZero()
	for _, d := range descriptors {
		switch {
		case d.key == byGate && shared, (d.key == byClient || d.key == byNetwork) && (shared || client), d.key == byMailboxAndNetwork && mailbox && client:
			charges = append(charges, d.charges(t[d.Name], s)...)
		case d.key == byMailbox && mailbox:
			charges = append(charges, d.charges(t[d.Name], Subject{Mailbox: s.Mailbox})...)
			if d.known != "" {
				charges = append(charges, d.charges(t[d.Name], Subject{Mailbox: s.Mailbox, Known: true})...)
			}
		}
	}
	if shared || client {
		charges = append(charges, t.clientSuccessLimits(s)...)
	}
	if mailbox {
		_, successes := t.SuccessLimits(Subject{Mailbox: s.Mailbox, Known: true})
		charges = append(append(charges, successes...), t.SignInNotice(s)...)
	}
	return charges
}
