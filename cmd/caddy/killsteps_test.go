package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

var (
	anyLink  = regexp.MustCompile(`https?://\S+/(?:link|cancel)\?t=[A-Za-z0-9_.-]+`)
	codeLine = regexp.MustCompile(`(?m)^ +(\d{4} \d{4})$`)
)

// tale is something that a person does in several steps.
type tale struct {
	k *killed
	// email is the address of the account, id is the account's, b the browser that is signed in to it.
	email, id string
	b         *browser
	steps     []killStep
}

// killStep is one step of a tale.
type killStep struct {
	name string
	do   func(die bool) reply
	// done reports whether an answer says that it was done.
	done func(reply) bool
	// once is set where trying again is refused once it has been done; shown where the page says even then that it was done. Without once, such
	// as for a mail, it may be done again.
	once, shown bool
	// undying is set for what no browser does.
	undying bool
	// is says what the account is then, "" where that is what it was.
	is string
}

// link returns the n-th link of a mail, code its code.
func (k *killed) link(to, subject string, n int) string {
	k.t.Helper()
	links := anyLink.FindAllString(k.letter(to, subject).Text, -1)
	if len(links) <= n {
		k.t.Fatalf("the mail %q to %s has the links %v", subject, to, links)
	}
	return links[n]
}

func (k *killed) code(to, subject string) string {
	k.t.Helper()
	m := codeLine.FindStringSubmatch(k.letter(to, subject).Text)
	if m == nil {
		k.t.Fatalf("no code in the mail %q to %s", subject, to)
	}
	return "code=" + strings.ReplaceAll(m[1], " ", "")
}

// newTale makes the account of a tale, signed in.
func (k *killed) newTale(email string) *tale {
	k.t.Helper()
	one := &tale{k: k, email: email, b: k.browser()}
	k.do(one.b, "/sign-up", "email="+url.QueryEscape(email), false)
	k.settle()
	if r := k.press(one.b, k.link(email, "Finish signing up", 0), false); !strings.HasPrefix(r.page, "hello") {
		k.t.Fatalf("signing up led to %s", r)
	}
	for id, is := range k.accounts(k.place) {
		if strings.HasPrefix(is, email+" ") {
			one.id = id
		}
	}
	return one
}

func ok(r reply) bool { return r.err == nil && r.status == http.StatusOK }

// says returns a check that an answer is a page with some words.
func says(words string) func(reply) bool {
	return func(r reply) bool { return ok(r) && strings.Contains(r.page, words) }
}

// asks is the step that asks for the code of an act.
func (a *tale) asks(path, form string) killStep {
	return killStep{name: "asks for the code", do: func(die bool) reply { return a.k.do(a.b, path, form, die) }, done: says(`name="code"`)}
}

// proves is the step that types it. done says that the act was done.
func (a *tale) proves(subject string, done func(reply) bool, is string) killStep {
	return killStep{name: "types the code", once: true, is: is, done: done, do: func(die bool) reply {
		return a.k.do(a.b, "/account/proof", a.k.code(a.email, subject), die)
	}}
}

// begins is the step that types the code for a change of the address.
func (a *tale) begins() killStep {
	s := a.proves("change your address", says("of 2 confirmed"), "")
	s.shown = true
	return s
}

// sends is the step that types the code for an invitation.
func (a *tale) sends(to string) killStep {
	s := a.proves("send an invitation", says(to), "")
	s.shown = true
	return s
}

// presses is a step that presses the button of a link in another browser.
func (a *tale) presses(name, to, subject string, n int, done func(reply) bool, is string) killStep {
	return killStep{name: name, once: true, is: is, done: done, do: func(die bool) reply {
		return a.k.press(a.k.browser(), a.k.link(to, subject, n), die)
	}}
}

// tales are all that people do with their accounts in several steps.
var tales = map[string]func(a *tale){
	"export": func(a *tale) {
		a.steps = []killStep{
			a.asks("/account/export", ""),
			a.proves("to download", func(r reply) bool { return ok(r) && strings.HasPrefix(r.page, "{") }, ""),
		}
	},
	"token": func(a *tale) {
		a.steps = []killStep{
			a.asks("/account/tokens/new", "name=laptop&scope.calendar=1&days=30"),
			a.proves("access token", says("elt_"), "token"),
		}
	},
	"address": func(a *tale) {
		to := "new-" + a.email
		a.steps = []killStep{
			a.asks("/account/address", "email="+url.QueryEscape(to)),
			a.begins(),
			a.presses("the new mailbox", to, "Confirm this address", 0, ok, ""),
			a.presses("the old mailbox", a.email, "A new address for", 0, ok, to),
			a.presses("takes it back", a.email, "has changed", 0, ok, a.email),
		}
	},
	"address, the old mailbox first": func(a *tale) {
		to := "new-" + a.email
		a.steps = []killStep{
			a.asks("/account/address", "email="+url.QueryEscape(to)),
			a.begins(),
			a.presses("the old mailbox", a.email, "A new address for", 0, ok, ""),
			a.presses("the new mailbox", to, "Confirm this address", 0, ok, to),
		}
	},
	"delete": func(a *tale) {
		a.steps = []killStep{
			a.asks("/account/delete", "email="+url.QueryEscape(a.email)),
			a.proves("delete your account", ok, "disabled"),
			a.presses("undoes it", a.email, "is being deleted", 0, ok, "active"),
		}
	},
	"invitation by an account": func(a *tale) {
		to, roles := "guest-"+a.email, []string{"family"}
		if _, err := a.k.client.ChangeAccount(a.k.t.Context(), a.email, operator.AccountChange{Roles: &roles}); err != nil {
			a.k.t.Fatal(err)
		}
		a.steps = []killStep{
			a.asks("/account/invitations/new", "role.guest=1&email="+url.QueryEscape(to)),
			a.sends(to),
			a.presses("accepts", to, "You're invited", 0, says("hello "+to), "guest"),
		}
	},
	"invitation": func(a *tale) {
		to := "guest-" + a.email
		a.steps = []killStep{
			a.invites(to), a.presses("accepts", to, "You're invited", 0, says("hello "+to), "guest"),
		}
	},
	"invitation, revoked": func(a *tale) {
		to := "guest-" + a.email
		a.steps = []killStep{
			a.invites(to),
			{name: "revokes", undying: true, done: ok, do: func(bool) reply {
				_, err := a.k.client.RevokeInvitations(a.k.t.Context(), to)
				return reply{http.StatusOK, "", err}
			}},
			{name: "accepts", undying: true, done: func(r reply) bool { return r.status == http.StatusGone }, do: func(bool) reply {
				return a.k.press(a.k.browser(), a.k.link(to, "You're invited", 0), false)
			}},
		}
	},
	"new device": func(a *tale) {
		a.steps = []killStep{
			{name: "asks for a link", done: ok, do: func(die bool) reply {
				return a.k.do(a.k.browser(), "/sign-in", "email="+url.QueryEscape(a.email), die)
			}},
			a.presses("opens it elsewhere", a.email, "Your sign-in link", 0, says("hello "), "2 sessions"),
			a.presses("it wasn't me", a.email, "New sign-in", 0, ok, "1 session"),
		}
	},
}

// invites is the step by which an operator invites.
func (a *tale) invites(to string) killStep {
	return killStep{name: "invites", undying: true, done: ok, do: func(bool) reply {
		_, err := a.k.client.Invite(a.k.t.Context(), operator.InvitationInput{Email: to, Roles: []string{"guest"}})
		return reply{http.StatusOK, "", err}
	}}
}

// now says what there is of a tale, as far as its steps say.
func (a *tale) now(is string) string {
	a.k.t.Helper()
	ctx, accounts := a.k.t.Context(), a.k.accounts(a.k.place)
	email, status, _ := strings.Cut(accounts[a.id], " ")
	switch is {
	case "token":
		list, err := a.k.client.Tokens(ctx, email)
		if err != nil || len(list) != 1 || list[0].State != "good" {
			return fmt.Sprintf("the tokens %+v, %v", list, err)
		}
		return is
	case "guest":
		n := 0
		for _, one := range accounts {
			if one == "guest-"+a.email+" active guest" {
				n++
			}
		}
		return strings.Repeat(is, n)
	case "1 session", "2 sessions":
		list, err := a.k.client.Sessions(ctx, email)
		return fmt.Sprintf("%d %s%s", len(list), strings.Trim(is, "12 "), map[bool]string{true: fmt.Sprint(err)}[err != nil])
	case "active", "disabled":
		return status
	default:
		return email
	}
}

// verify compares what there is with what there has to be.
func (a *tale) verify(name string, s killStep) {
	a.k.t.Helper()
	want := s.is
	if want == "" {
		want = a.email
	}
	if is := a.now(want); is != want {
		a.k.t.Errorf("%s, %s: there is %q, want %q", name, s.name, is, want)
	}
}

// again tries a step again that was done and not answered: it is refused, and sends no mail, or it is done again.
func (a *tale) again(name string, s killStep) {
	a.k.t.Helper()
	before := a.k.sent()
	r := s.do(false)
	if r.err != nil || s.done(r) == s.once && !s.shown {
		a.k.t.Errorf("%s, %s, again: %s", name, s.name, r)
	}
	a.k.settle()
	if now := a.k.sent(); s.once && now != before {
		a.k.t.Errorf("%s, %s, again: %d more mails", name, s.name, now-before)
	}
	a.verify(name, s)
}

// TestDUR1_KilledAtEachStep kills the gate in the middle of all that people do with their accounts: after the answers to steps, and between the
// commit of one and its answer. It goes on from there, nothing is done twice, and of what a backup holds nothing is open when it is put back.
func TestDUR1_KilledAtEachStep(t *testing.T) {
	t.Parallel()
	killAtEachStep(t, onFile(t))
}

func killAtEachStep(t *testing.T, k *killed) {
	k.run()
	var copies []snapshot
	all := k.together(func(told []*tale) { copies = append(copies, k.snapshot(told)) })
	long := os.Getenv(killRounds) != ""
	if long {
		k.apart()
	}
	k.sentOnce()
	k.caddy.Stop()
	for i, one := range copies {
		if long || i == 1 {
			k.restored(one)
		}
	}
	t.Logf("%d tales", len(all))
}

// together tells all tales at once, a step of each in a round, and kills the process in each: the last step of a round is not answered.
func (k *killed) together(round func([]*tale)) (all []*tale) {
	k.t.Helper()
	names := slices.Sorted(maps.Keys(tales))
	for _, name := range names {
		one := k.newTale(mailbox(name))
		tales[name](one)
		all = append(all, one)
	}
	for n := 0; ; n++ {
		var now, mortal []int
		for i, one := range all {
			if n < len(one.steps) {
				now = append(now, i)
				if s := one.steps[n]; !s.undying && s.once == (n > 0) {
					mortal = append(mortal, i)
				}
			}
		}
		if len(now) == 0 {
			return all
		}
		last := -1
		if len(mortal) > 0 {
			last = mortal[n%len(mortal)]
		}
		for _, i := range now {
			if s := all[i].steps[n]; i != last {
				if r := s.do(false); !s.done(r) {
					k.t.Fatalf("%s, %s: %s", names[i], s.name, r)
				}
			}
		}
		if last >= 0 {
			if r := all[last].steps[n].do(true); r.err == nil {
				k.t.Fatalf("%s, %s: answered with %s by a process that was to be killed", names[last], all[last].steps[n].name, r)
			}
		}
		k.restart()
		for _, i := range now {
			all[i].verify(names[i], all[i].steps[n])
		}
		if last >= 0 {
			all[last].again(names[last], all[last].steps[n])
		}
		if k.t.Failed() {
			k.t.FailNow()
		}
		round(all)
	}
}

// mailbox returns an address for a tale.
func mailbox(name string) string {
	return strings.NewReplacer(" ", "-", ",", "").Replace(name) + "@example.com"
}

// apart tells each tale again and again, killed at one of its steps, once before the answer and once after it.
func (k *killed) apart() {
	k.t.Helper()
	kills := 0
	for _, name := range slices.Sorted(maps.Keys(tales)) {
		for at, steps := 0, 1; at < steps; at++ {
			for _, die := range []bool{true, false} {
				one := k.newTale(mailbox(fmt.Sprint(name, "-", at, "-", die)))
				tales[name](one)
				steps = len(one.steps)
				k.tell(one, name, at, die)
				kills++
			}
		}
	}
	k.t.Logf("%d kills, each at one step of one tale", kills)
}

// tell tells a tale to its end, killed at one of its steps, before the answer or after it.
func (k *killed) tell(a *tale, name string, at int, die bool) {
	k.t.Helper()
	for n, s := range a.steps {
		lost := n == at && die && !s.undying
		if r := s.do(lost); lost != (r.err != nil) || !lost && !s.done(r) {
			k.t.Fatalf("%s, %s: %s", name, s.name, r)
		}
		if n == at {
			k.restart()
		}
		k.settle()
		a.verify(name, s)
		if lost {
			a.again(name, s)
		}
	}
}
