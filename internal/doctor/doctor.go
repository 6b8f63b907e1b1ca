// Package doctor finds what an operator may have overlooked. Its cheap half ([Offline]) asks no network: it runs at each start
// of a gate as well, so that a start and `caddy email-link doctor` say the same. [Network] is the other half.
//
// It knows nothing of Caddy: the caller, who knows the configuration, fills in [Facts].
package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Result is what a check came to.
type Result string

// Results. A check that could not be made is [Skip], which is no failure.
const (
	OK   Result = "ok"
	Warn Result = "warn"
	Fail Result = "fail"
	Skip Result = "skip"
)

// Finding is the answer of one check.
type Finding struct {
	// Check is what was looked at, a word or two.
	Check  string `json:"check"`
	Result Result `json:"result"`
	// Text says what was found, Fix what to write or do where something is to be done.
	Text string `json:"text"`
	Fix  string `json:"fix,omitempty"`
}

// Line is the finding in one line without its result, as a log has it.
func (f Finding) Line() string {
	if f.Fix == "" {
		return f.Text
	}
	return f.Text + "; " + f.Fix
}

// Failed reports whether any finding is a failure.
func Failed(list []Finding) bool {
	for _, f := range list {
		if f.Result == Fail {
			return true
		}
	}
	return false
}

// Facts are what the checks look at. What is empty is not looked at.
type Facts struct {
	// Secrets are the values of `secret` as they are written in the configuration.
	Secrets []string
	// Sites are the gate's sites, Servers what Caddy listens with.
	Sites   []Site
	Servers []Server
	// Routes are the findings about routes past the gates.
	Routes []Finding
	// Database and KeyFile are paths; empty where there is none of ours.
	Database, KeyFile string
	// MailFolder is where mails become files.
	MailFolder string
	// NoMail is set when no mail leaves (`mailer none`).
	NoMail bool
	// From is the bare address of the sender, empty without one.
	From string
	// NoAccount is set when there is no account yet and a site asks for one.
	NoAccount bool
	// Tokens are the machine tokens, Granted the scopes that the configuration has, and Now the gate's time. A start leaves them empty:
	// what becomes of tokens is no matter of the configuration.
	Tokens  []Token
	Granted []string
	Now     time.Time
	// Nodes are the processes that share the database.
	Nodes []Node
	// Unreadable is why the database could not be read, nil where it was or where nobody has tried. What is in it is not looked at then.
	Unreadable error
}

// database reports that the database could not be read: the other checks say what else is wrong on such a day.
func database(f Facts) []Finding {
	if f.Unreadable == nil {
		return nil
	}
	r := report{check: "storage"}
	r.add(Fail, f.Unreadable.Error(), "nobody signs in until it answers again; accounts, tokens and nodes were not looked at")
	return r.list
}

// Node is a process that shares the database. Differs says what it has other than this one.
type Node struct {
	Host    string
	Process int
	Differs []string
}

// nodes finds processes that differ from this one.
func nodes(f Facts) []Finding {
	if len(f.Nodes) == 0 {
		return nil
	}
	r := report{check: "nodes"}
	for _, n := range f.Nodes {
		for _, what := range n.Differs {
			found, fix, _ := strings.Cut(what, ": ")
			r.add(Warn, fmt.Sprintf("process %d on %s: %s", n.Process, n.Host, found), fix)
		}
	}
	return r.orOK(fmt.Sprintf("%d that share the database, all alike", len(f.Nodes)))
}

// Site is one handler of the gate.
type Site struct {
	// Hosts are those of the site's addresses; none: any.
	Hosts []string
	// Origins are its entries of base_url.
	Origins []Origin
	// Path is where our pages live.
	Path string
	// Nested is set when another gate comes before this one.
	Nested bool
	// OpenToAll is set when anybody with a mailbox can sign up and that nothing else is required.
	OpenToAll bool
	// Portal is set for the site at which people sign in for others, and behind which there is nothing.
	Portal bool
	// OpenedByPath names another site, where more people can sign up than here: accounts are good at every site that requires
	// nothing. Empty: there is none.
	OpenedByPath string
	// ClientHeaders are identity headers that clients may send to the app, OpenSuffixes the public paths that begin with a star.
	ClientHeaders, OpenSuffixes []string
	// Listens are the addresses that Caddy listens on for the site. Forwarded is set where trusted_proxies says that something
	// is in front of Caddy, which has the addresses that people see.
	Listens   []Listener
	Forwarded bool
	// VerifyFrom are the peers that may ask whether a request may pass.
	VerifyFrom []netip.Prefix
	// TokenScopes are the scopes with which machine tokens pass.
	TokenScopes []string
	// InheritedScopes are, of a nested gate that names no scope and that people pass as well, those of the outer one: tokens with
	// these pass, too. Inside is the path it is for, empty where that is not known.
	InheritedScopes []string
	InsideHandle    string
}

// Origin is one entry of base_url.
type Origin struct {
	// Text is the entry, such as https://app.example.com or https://*.example.com.
	Text string
	// Host is what it names, without the star but with its dot where Wildcard is set.
	Host     string
	Wildcard bool
}

func (o Origin) plain() bool { return strings.HasPrefix(o.Text, "http:") }

// Listener is an address that Caddy listens on.
type Listener struct{ Scheme, Port string }

// Server is one server of Caddy's HTTP app.
type Server struct {
	// TrustsProxies is set when trusted_proxies is, Strict when trusted_proxies_strict is.
	TrustsProxies, Strict bool
}

// Offline makes the checks that need no network, in a fixed order.
func Offline(f Facts) []Finding {
	var list []Finding
	for _, check := range []func(Facts) []Finding{database, secrets, baseURL, addresses, signUp, names, public, scopes, verify, routes, proxies, cookies, files, mails, accounts, tokens, nodes} {
		list = append(list, check(f)...)
	}
	return list
}

// Start returns what a start says of the findings of Offline: warnings and failures. In a trial it leaves out what is meant there: that anyone
// may sign up, that mails become files, and that there is no account yet where anyone may make one.
func Start(f Facts) []Finding {
	return slices.DeleteFunc(Offline(f), func(one Finding) bool {
		switch {
		case one.Result != Warn:
			return one.Result != Fail
		case !f.isTrial():
			return false
		}
		open := slices.ContainsFunc(f.Sites, func(s Site) bool { return s.OpenToAll })
		return one.Check == "sign_up" || one.Check == "mailer" || one.Check == "accounts" && open
	})
}

// isTrial reports whether mails become files and every site is on this machine: base_url has plain http for nothing else.
func (f Facts) isTrial() bool {
	return f.MailFolder != "" && len(f.Sites) > 0 && !slices.ContainsFunc(f.Sites, func(s Site) bool {
		return len(s.Origins) == 0 || slices.ContainsFunc(s.Origins, func(o Origin) bool { return !o.plain() })
	})
}

// report collects the findings of one check; without one, the check has passed.
type report struct {
	check string
	list  []Finding
}

func (r *report) add(result Result, text, fix string) {
	f := Finding{Check: r.check, Result: result, Text: text, Fix: fix}
	for _, have := range r.list {
		if have == f {
			return
		}
	}
	r.list = append(r.list, f)
}

// merge adds the findings of another report.
func (r *report) merge(other report) {
	for _, f := range other.list {
		r.add(f.Result, f.Text, f.Fix)
	}
}

func (r *report) orOK(text string) []Finding {
	if len(r.list) == 0 {
		r.add(OK, text, "")
	}
	return r.list
}
