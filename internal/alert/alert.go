// Package alert finds out what an operator is to be alerted of: it counts requests and lines of the log in memory, by kind and by key,
// and says once an hour for each kind what has become too many.
//
// A kind goes through these steps:
//
//	counting ── a rule of the kind is met (Due) ──▶ due ── the caller has stored that it alerts (Done) ──▶ counting, from zero
//	    ▲                                            │
//	    └── an hour without ◀────────────────────────┘ no more than one in an hour: what comes meanwhile is counted for the next
//
// What it tells is for topics that anybody can read: mailboxes are masked, clients are networks, accounts are ids, and nothing in it is a link.
package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Kind is what an alert is about.
type Kind string

// The kinds of alerts.
const (
	// Mailboxes is one network that requests mails to many mailboxes and confirms few of them.
	Mailboxes Kind = "mailboxes"
	// Networks is one mailbox that many networks request mails to, or try passwords of.
	Networks Kind = "networks"
	// Failures are links that do not work, wrong codes and wrong passwords.
	Failures Kind = "failures"
	// Replays are links that were used before.
	Replays Kind = "replays"
	// DeadLetters are mails that were given up.
	DeadLetters Kind = "dead_letters"
	// Budget is a budget of mails that all unknown browsers share, of which half is spent.
	Budget Kind = "budget"
	// NoMail is that no mail leaves.
	NoMail Kind = "no_mail"
)

// Kinds returns all kinds, in the order in which they are documented.
func Kinds() []Kind {
	return []Kind{Mailboxes, Networks, Failures, Replays, DeadLetters, Budget, NoMail}
}

// words are what people read of a kind: its title, what is counted, and what to do.
var words = map[Kind]struct{ title, counted, advice string }{
	Mailboxes: {
		"many mailboxes from one network", "mailboxes without a confirmation, by network",
		"'caddy email-link events --event requested' shows the requests. Limits hold them back; a firewall can end them, see examples/fail2ban.",
	},
	Networks: {
		"many networks for one mailbox", "networks, by mailbox",
		"Nothing has to be done for the mailbox: its owner still gets in. 'caddy email-link limits show <address>' shows what is spent.",
	},
	Failures: {
		"failed links, codes and passwords", "failures, by network",
		"Lines of the log with the event denied name the clients; a firewall can end them, see examples/fail2ban.",
	},
	Replays: {
		"used links were opened again", "replays, by account",
		"Somebody else may read these mails. 'caddy email-link accounts history <id>' shows what happened.",
	},
	DeadLetters: {
		"mails were given up", "mails, by account or purpose",
		"'caddy email-link mail list' shows why, and 'caddy email-link mail retry --all' sends them again.",
	},
	Budget: {
		"half of the mails that unknown browsers share are spent", "mails, by networks that have spent their share",
		"Mails to accounts and known browsers go on. 'caddy email-link limits show shared' shows what is spent.",
	},
	NoMail: {
		"no mail leaves", "attempts that failed",
		"'caddy email-link doctor' says why.",
	},
}

// Key is one of the heaviest causes of an alert.
type Key struct {
	// Name is a network, a masked mailbox, the id of an account, or a purpose.
	Name  string `json:"key"`
	Count int    `json:"count"`
}

// Alert is what an operator is told.
type Alert struct {
	Kind Kind
	// Since is when counting began, Until when it was read.
	Since, Until time.Time
	// Keys are the heaviest, at most ten; Others is how many more there are, and Total the sum of all.
	Keys   []Key
	Others int
	Total  int
}

// Title returns the subject of an alert.
func (a Alert) Title() string { return words[a.Kind].title }

// Text returns the alert for people.
func (a Alert) Text(site string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s.\n", site, a.Title())
	fmt.Fprintf(&b, "%d %s, from %s to %s UTC.\n\n", a.Total, words[a.Kind].counted, clockTime(a.Since), clockTime(a.Until))
	for _, k := range a.Keys {
		fmt.Fprintf(&b, "%6d  %s\n", k.Count, k.Name)
	}
	if a.Others > 0 {
		fmt.Fprintf(&b, "        and %d more\n", a.Others)
	}
	if len(a.Keys) > 0 {
		b.WriteByte('\n')
	}
	return b.String() + words[a.Kind].advice + "\nThe next alert of this kind comes in an hour at the earliest.\n"
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04") }

// JSON returns the alert for programs.
func (a Alert) JSON(site string) ([]byte, error) {
	keys := a.Keys
	if keys == nil {
		keys = []Key{}
	}
	return json.Marshal(struct {
		Kind   Kind      `json:"kind"`
		Title  string    `json:"title"`
		Site   string    `json:"site"`
		Since  time.Time `json:"since"`
		Until  time.Time `json:"until"`
		Total  int       `json:"total"`
		Keys   []Key     `json:"keys"`
		Others int       `json:"others"`
		Advice string    `json:"advice"`
	}{a.Kind, a.Title(), site, a.Since.UTC().Truncate(time.Second), a.Until.UTC().Truncate(time.Second), a.Total, keys, a.Others, words[a.Kind].advice})
}
