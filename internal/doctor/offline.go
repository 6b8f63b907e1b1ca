package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
)

// StrictProxies are the lines that make Caddy take a client's address from the end that proxies write.
const StrictProxies = "add to the global options:\n\tservers {\n\t\ttrusted_proxies_strict\n\t}"

// secrets finds keys that stand in the configuration itself.
func secrets(f Facts) []Finding {
	if len(f.Secrets) == 0 {
		return nil
	}
	r := report{check: "secret"}
	for i, secret := range f.Secrets {
		if !strings.Contains(secret, "{") {
			r.add(Warn, fmt.Sprintf("value %d of 'secret' is written in the configuration, which Caddy stores and shows", i+1),
				"write secret {env.EMAIL_LINK_SECRET} or {file./run/secrets/email_link}")
		}
	}
	return r.orOK("no key is written in the configuration itself")
}

// baseURL compares base_url with the sites.
func baseURL(f Facts) []Finding {
	r := report{check: "base_url"}
	served := map[string]bool{}
	anyHost, entries := false, 0
	for _, s := range f.Sites {
		if s.Nested {
			continue
		}
		anyHost = anyHost || len(s.Hosts) == 0
		for _, host := range s.Hosts {
			if !Covered(s.Origins, host) {
				r.add(Fail, fmt.Sprintf("the site %s has no base_url: every visitor there gets 421", host),
					"write base_url https://"+strings.TrimPrefix(host, "*."))
			}
		}
		for _, o := range s.Origins {
			entries++
			for _, host := range s.Hosts {
				served[o.Text] = served[o.Text] || Covered([]Origin{o}, host)
			}
		}
	}
	if entries == 0 {
		r.add(Warn, "no site has email_link, so nothing is protected", "write email_link into a site")
		return r.list
	}
	for _, s := range f.Sites {
		for _, o := range s.Origins {
			if !s.Nested && !anyHost && !served[o.Text] {
				r.add(Fail, fmt.Sprintf("no site with email_link serves %s: its links lead nowhere", o.Text),
					"add a site for it, or remove it from base_url")
			}
		}
	}
	return r.orOK("each site has a base_url, and each base_url a site")
}

// addresses compares scheme and port of each base_url with what its sites listen on.
func addresses(f Facts) []Finding {
	r := report{check: "addresses"}
	found, listens := map[string]bool{}, map[string][]string{}
	for _, s := range f.Sites {
		for _, o := range s.Origins {
			if s.Nested || len(s.Hosts) > 0 && !slices.ContainsFunc(s.Hosts, func(host string) bool { return Covered([]Origin{o}, host) }) {
				continue
			}
			found[o.Text] = found[o.Text] || s.Forwarded || len(s.Listens) == 0
			for _, l := range s.Listens {
				found[o.Text] = found[o.Text] || l == o.listener()
				listens[o.Text] = append(listens[o.Text], l.Scheme+" on port "+l.Port)
			}
		}
	}
	for _, text := range slices.Sorted(maps.Keys(found)) {
		if !found[text] {
			slices.Sort(listens[text])
			r.add(Fail, fmt.Sprintf("base_url says %s, but its site listens with %s", text, strings.Join(slices.Compact(listens[text]), ", ")),
				"right behind another proxy (name it in trusted_proxies); otherwise write the scheme and port of the site in base_url, or those of base_url in the site's address")
		}
	}
	return r.list
}

// listener is the address that an origin names.
func (o Origin) listener() Listener {
	scheme, host, _ := strings.Cut(o.Text, "://")
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return Listener{scheme, host[i+1:]}
	}
	if scheme == "http" {
		return Listener{scheme, "80"}
	}
	return Listener{scheme, "443"}
}

// signUp finds sites that let anybody in.
func signUp(f Facts) []Finding {
	if len(f.Sites) == 0 {
		return nil
	}
	r := report{check: "sign_up"}
	for _, s := range f.Sites {
		switch {
		case s.Portal: // whom it lets in is a matter of the sites
		case s.OpenToAll:
			r.add(Warn, "anyone with a mailbox can reach "+s.title(),
				"write 'sign_up open example.com' or 'require email *@example.com' if that is not meant")
		case s.OpenedByPath != "":
			r.add(Warn, "anyone who signs up at "+s.OpenedByPath+" can reach "+s.title()+", whose own sign_up is stricter: an account is valid at every site",
				"write 'require role …' or 'require email *@example.com' there if that is not meant")
		}
	}
	return r.orOK("accounts, sign_up or require say who gets in")
}

// names lists the identity headers that clients may send.
func names(f Facts) []Finding {
	r := report{check: "client_headers"}
	for _, s := range f.Sites {
		if len(s.ClientHeaders) > 0 {
			r.add(Warn, "clients of "+s.title()+" may send "+strings.Join(s.ClientHeaders, ", ")+" to the app: it must verify their values and must not identify anybody by them", "")
		}
	}
	return r.list
}

// public finds paths that are open by how they end.
func public(f Facts) []Finding {
	r := report{check: "public"}
	for _, s := range f.Sites {
		for _, pattern := range s.OpenSuffixes {
			r.add(Warn, fmt.Sprintf("public %s of %s opens every path with that ending, such as /admin/x%s, and many apps serve /admin there", pattern, s.title(), pattern[1:]),
				"write the folder that holds such files, like 'public /assets/*'")
		}
	}
	return r.list
}

// routes are what the survey of the routes has found.
func routes(f Facts) []Finding { return f.Routes }

func (s Site) title() string {
	if len(s.Hosts) > 0 {
		return strings.Join(s.Hosts, ", ")
	}
	for _, o := range s.Origins {
		if !o.Wildcard {
			_, host, _ := strings.Cut(o.Text, "://")
			return host
		}
	}
	return "the site"
}

// proxies finds servers that believe what clients write.
func proxies(f Facts) []Finding {
	if len(f.Servers) == 0 {
		return nil
	}
	r := report{check: "trusted_proxies"}
	trusting := false
	for _, s := range f.Servers {
		trusting = trusting || s.TrustsProxies
		if s.TrustsProxies && !s.Strict {
			r.add(Warn, "trusted_proxies without trusted_proxies_strict believes addresses that clients invent", StrictProxies)
		}
	}
	if trusting {
		return r.orOK("a client's address is the last one that a trusted proxy saw")
	}
	return r.orOK("no proxy is trusted: right if there is no proxy before Caddy; otherwise all clients share one limit")
}

// cookies finds origins that share their cookies. Browsers keep cookies by host, whatever the port.
func cookies(f Facts) []Finding {
	r := report{check: "cookies"}
	type kind struct {
		host  string
		plain bool
	}
	seen := map[kind]string{}
	for _, s := range f.Sites {
		for _, o := range s.Origins {
			if s.Nested {
				continue
			}
			if o.plain() {
				r.add(OK, o.Text+" is plain http, for this machine only: its cookies are neither Secure nor __Host-", "")
			}
			k := kind{o.Host, o.plain()}
			if other, ok := seen[k]; ok && other != o.Text {
				r.add(Warn, fmt.Sprintf("%s and %s differ only by port, and browsers send the cookies of one to the other: signing in to one signs out of the other", other, o.Text),
					"give each its own host name in base_url")
				continue
			}
			seen[k] = o.Text
		}
	}
	if len(seen) == 0 {
		return nil
	}
	return r.orOK("Secure, HttpOnly, with __Host-: each host has its own cookies")
}

// files looks at who may read and replace what is on the disk.
func files(f Facts) []Finding {
	if runtime.GOOS == "windows" || f.Database == "" && f.KeyFile == "" {
		return nil // modes say nothing there
	}
	r := report{check: "file modes"}
	if f.KeyFile != "" {
		if line := keyring.KeyFileWarning(f.KeyFile); line != "" {
			r.add(Fail, line, "")
		}
	}
	if f.Database != "" {
		if mode, ok := fileMode(f.Database); ok && mode&0o077 != 0 {
			r.add(Fail, fmt.Sprintf("the database has mode %04o: others can read it", mode), "chmod 600 "+f.Database)
		}
		if mode, ok := fileMode(filepath.Dir(f.Database)); ok && mode&0o022 != 0 {
			r.add(Warn, fmt.Sprintf("the database's directory has mode %04o: others can replace the database", mode), "chmod 700 "+filepath.Dir(f.Database))
		}
	}
	return r.orOK("nobody else can read the database or the key")
}

// fileMode returns the mode of what is there.
func fileMode(path string) (fs.FileMode, bool) {
	fi, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	mode := fi.Mode().Perm()
	if fi.IsDir() && fi.Mode()&fs.ModeSticky != 0 {
		mode &^= 0o022 // with the sticky bit files of others cannot be replaced
	}
	return mode, true
}

// mails says where mails go when they do not go to people, and whether they can be written there.
func mails(f Facts) []Finding {
	r := report{check: "mailer"}
	if f.MailFolder == "" {
		return nil
	}
	if err := writable(f.MailFolder); err != nil {
		r.add(Fail, "no mail can be written into "+f.MailFolder+": "+err.Error(),
			"name another folder in 'mailer file <folder>', or allow the user that Caddy runs as to write there")
		return r.list
	}
	r.add(Warn, "mails become files in "+f.MailFolder+": anyone who reads them can sign in as anybody", "write 'mailer smtp …' before others use this")
	return r.list
}

// writable returns why no file can be made in a folder, or in the closest one above it that exists: the first mail makes the rest. It tries
// with a file that it removes again, since modes tell neither of read-only file systems nor of limits.
func writable(folder string) error {
	for {
		_, err := os.Stat(folder)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || filepath.Dir(folder) == folder {
			break
		}
		folder = filepath.Dir(folder)
	}
	file, err := os.CreateTemp(folder, ".email-link-*")
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return fmt.Errorf("%s: %w", folder, err)
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

func accounts(f Facts) []Finding {
	r := report{check: "accounts"}
	if f.NoAccount {
		fix := "make the first one: caddy email-link accounts add you@example.com --role admin"
		if slices.ContainsFunc(f.Sites, func(s Site) bool { return s.OpenToAll }) {
			fix += ", or sign up"
		}
		r.add(Warn, "there is no account yet", fix)
	}
	return r.list
}

// Covered reports whether an origin of the list covers a site's host. A host that a Caddyfile cannot know is taken as covered.
func Covered(list []Origin, host string) bool {
	if strings.Contains(host, "{") {
		return true
	}
	host = strings.ToLower(host)
	for _, o := range list {
		own := strings.TrimPrefix(o.Host, ".")
		switch {
		case !o.Wildcard && (o.Host == host || coveredByStar(host, o.Host)):
			return true
		case o.Wildcard && (host == "*."+own || strings.HasSuffix(host, o.Host) && !strings.Contains(strings.TrimSuffix(host, o.Host), ".")):
			return true
		}
	}
	return false
}

// coveredByStar reports whether a site with a star serves an origin's host.
func coveredByStar(site, host string) bool {
	rest, ok := strings.CutPrefix(site, "*.")
	if !ok {
		return false
	}
	_, tail, found := strings.Cut(host, ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	return found && tail == rest
}
