package command

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// addedText says that an account has been added, and what comes next.
func (r *root) addedText(a operator.AddedAccount) string {
	email := printable(a.Email)
	text := fmt.Sprintf("added %s as %s\n", email, a.ID)
	switch len(a.SignIn) {
	case 0:
	case 1:
		text += "sign in:  " + a.SignIn[0] + "\n"
	default:
		text += "sign in:  " + strings.Join(a.SignIn, "\n          ") + "\n"
	}
	return text + "no mail:  " + r.again("link "+email) + " prints a link\n"
}

// changedText says in a sentence what has become of an account.
func changedText(a operator.ChangedAccount, change operator.AccountChange) string {
	email := printable(a.Email)
	if change.Status != nil {
		if *change.Status == "disabled" {
			return fmt.Sprintf("disabled %s; %s\n", email, sessionsEnded(a.SessionsEnded))
		}
		return fmt.Sprintf("enabled %s: it can sign in again\n", email)
	}
	var has []string
	if change.Email != nil {
		has = append(has, "this address ("+sessionsEnded(a.SessionsEnded)+")")
	}
	if change.Name != nil {
		has = append(has, "the name "+quoted(a.Name))
	}
	if change.Roles != nil {
		has = append(has, "the roles "+cmp.Or(strings.Join(a.Roles, ", "), "none"))
	}
	if change.Language != nil {
		has = append(has, "mails in "+cmp.Or(a.Language, "the language of the browser that asks"))
	}
	if change.Timezone != nil {
		has = append(has, "times in "+cmp.Or(a.Timezone, "the site's time zone"))
	}
	return fmt.Sprintf("changed %s, which now has %s\n", email, strings.Join(has, ", "))
}

// quoted returns a text in quotation marks, or the word none.
func quoted(text string) string {
	if text == "" {
		return "none"
	}
	return printable(strconv.Quote(text))
}

// sessionsEnded says how many sessions have ended, with everything else that was open.
func sessionsEnded(n int) string {
	if n == 0 {
		return "it had no session; its links are dead too"
	}
	return count(n, "session") + " ended; its links are dead too"
}

// count returns a number with a noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprint(n, " ", noun, "s")
}

// detailsText shows an account and what belongs to it.
func detailsText(d operator.AccountDetails) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	line := func(name, value string) { _, _ = fmt.Fprintf(w, "%s\t%s\n", name, printable(value)) }
	line("account", d.Email)
	line("id", d.ID)
	status := d.Status
	if !d.Deletes.IsZero() {
		status += "; its owner has deleted it, and it is gone on " + formatTime(d.Deletes) + " unless 'caddy email-link accounts enable' keeps it"
	}
	line("status", status)
	line("name", cmp.Or(d.Name, "none"))
	line("roles", cmp.Or(strings.Join(d.Roles, ", "), "none"))
	line("language", cmp.Or(d.Language, "that of the browser that asks"))
	line("time zone", cmp.Or(d.Timezone, "the site's"))
	line("created", formatTime(d.Created))
	last := "none in the last 90 days"
	if d.LastSignIn != nil {
		last = formatTime(*d.LastSignIn)
	}
	line("last sign-in", last)
	password := "no"
	if d.Password {
		password = "yes"
	}
	line("password", password)
	var sessions, tokens, limits, mails []string
	for _, s := range d.Sessions {
		sessions = append(sessions, fmt.Sprintf("%s, %s, since %s, seen %s, at %s",
			cmp.Or(s.Device, "an unknown browser"), cmp.Or(s.Network, "an unknown network"), formatTime(s.SignedIn), formatTime(s.Seen), s.Site))
	}
	for _, t := range d.Tokens {
		tokens = append(tokens, fmt.Sprintf("%s %s, %s, %s, until %s, at %s", t.ID, quoted(t.Name), strings.Join(t.Scopes, ","), t.State, formatTime(t.Ends), t.Site))
	}
	for _, l := range d.SpentLimits {
		limits = append(limits, fmt.Sprintf("%s %s, until %s", l.Name, l.Rate, formatTime(l.Ends)))
	}
	for _, m := range d.Mails {
		mails = append(mails, fmt.Sprintf("%s, %s, queued %s%s", m.ID, m.Purpose, formatTime(m.Queued), reason(m.Reason)))
	}
	for _, section := range []struct {
		name  string
		items []string
	}{{"sessions", sessions}, {"tokens", tokens}, {"limits spent", limits}, {"mails waiting", mails}} {
		name := section.name
		for _, item := range section.items {
			line(name, item)
			name = ""
		}
		if len(section.items) == 0 {
			line(name, "none")
		}
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

// reason returns the last failure of a mail, behind a comma.
func reason(text string) string {
	if text == "" {
		return ""
	}
	return ", " + text
}
