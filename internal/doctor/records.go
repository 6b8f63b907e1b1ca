package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/mailer/smtp"
)

// records looks for what receivers judge mails of the From domain by: SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 7489).
func (n *Network) records(ctx context.Context, f Facts) []Finding {
	domain := f.From[strings.LastIndexByte(f.From, '@')+1:]
	if n.SMTP == nil || domain == "" {
		return nil
	}
	list := n.spf(ctx, domain)
	list = append(list, n.dkim(ctx)...)
	return append(list, n.dmarc(ctx, domain)...)
}

// txt returns the records of a name that begin with a word. none is true when the DNS has said that there is none; an error
// means that it could not be asked.
func (n *Network) txt(ctx context.Context, name, begin string) (found []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, n.Timeout)
	defer cancel()
	all, err := n.Resolver.LookupTXT(ctx, name)
	var dns *net.DNSError
	if err != nil && (!errors.As(err, &dns) || !dns.IsNotFound) {
		return nil, err
	}
	for _, text := range all {
		rest, ok := cutPrefixFold(strings.TrimSpace(text), begin)
		if ok && (rest == "" || rest[0] == ' ' || rest[0] == ';') {
			found = append(found, text)
		}
	}
	return found, nil
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

func skipped(check, name string) []Finding {
	return []Finding{{Check: check, Result: Skip, Text: "the DNS could not be queried for " + name}}
}

func (n *Network) spf(ctx context.Context, domain string) []Finding {
	r := report{check: "spf"}
	found, err := n.txt(ctx, domain, "v=spf1")
	switch {
	case err != nil:
		return skipped(r.check, domain)
	case len(found) == 0:
		r.add(Warn, domain+" has no SPF record: receivers cannot tell your mail server from others",
			"publish the TXT record that your mail provider names, such as: "+domain+`. TXT "v=spf1 include:<provider> -all"`)
	case len(found) > 1:
		r.add(Fail, fmt.Sprintf("%s has %d SPF records, which counts as an error (RFC 7208 section 4.5)", domain, len(found)), "join them into one")
	}
	return r.orOK(domain + " has an SPF record; the source of a mail from 'mail test' shows whether it covers your mail server")
}

func (n *Network) dkim(ctx context.Context) []Finding {
	r := report{check: "dkim"}
	keys := n.SMTP.Published()
	if len(keys) == 0 {
		r.add(Skip, "this gate does not sign; most providers do", "send yourself a mail with 'caddy email-link mail test' and look for dkim=pass in its source; "+
			"where it is missing: `dkim <domain> <selector> <key file>` in the mailer's block")
		return r.list
	}
	for _, key := range keys {
		n.dkimKey(ctx, key, &r)
	}
	return r.list
}

// dkimKey compares the published key with the one that signs.
func (n *Network) dkimKey(ctx context.Context, key smtp.Published, r *report) {
	ctx, cancel := context.WithTimeout(ctx, n.Timeout)
	defer cancel()
	all, err := n.Resolver.LookupTXT(ctx, key.Name)
	var dns *net.DNSError
	if err != nil && (!errors.As(err, &dns) || !dns.IsNotFound) {
		r.list = append(r.list, skipped(r.check, key.Name)...)
		return
	}
	publish := "publish: " + key.Name + `. TXT "` + key.Value + `"`
	for _, text := range all {
		if p, ok := tag(text, "p"); ok && p == mustTag(key.Value) {
			r.add(OK, key.Name+" publishes the key that signs", "")
			return
		}
	}
	if len(all) == 0 {
		r.add(Fail, "there is no key at "+key.Name+": every signature fails", publish)
		return
	}
	r.add(Fail, key.Name+" publishes another key than the one that signs", publish)
}

func mustTag(value string) string {
	p, _ := tag(value, "p")
	return p
}

// tag returns the value of one tag of a tag list (RFC 6376 section 3.2), white space removed.
func tag(list, name string) (string, bool) {
	for one := range strings.SplitSeq(list, ";") {
		key, value, ok := strings.Cut(one, "=")
		if ok && strings.TrimSpace(key) == name {
			return strings.Join(strings.Fields(value), ""), true
		}
	}
	return "", false
}

// dmarc looks for a policy at the domain, then at the domains above it, which stand in for it.
func (n *Network) dmarc(ctx context.Context, domain string) []Finding {
	r := report{check: "dmarc"}
	for at := domain; strings.Contains(at, "."); {
		found, err := n.txt(ctx, "_dmarc."+at, "v=DMARC1")
		switch {
		case err != nil:
			return skipped(r.check, "_dmarc."+at)
		case len(found) > 1:
			r.add(Fail, fmt.Sprintf("_dmarc.%s has %d DMARC records, so none of them counts (RFC 7489 section 6.6.3)", at, len(found)), "keep one")
		case len(found) == 1:
			return r.orOK("_dmarc." + at + " has a policy")
		}
		if len(r.list) > 0 {
			return r.list
		}
		_, at, _ = strings.Cut(at, ".")
	}
	r.add(Warn, domain+" has no DMARC record: large mailbox providers distrust mail without one", "publish: _dmarc."+domain+`. TXT "v=DMARC1; p=none"`)
	return r.list
}
