package web

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	authOrigin   = "https://auth.example.com"
	photosOrigin = "https://photos.example.org"
	filesOrigin  = "https://files.example.net"
)

// several is a portal and the sites that it signs in for, all of one gate.
type several struct {
	*gate
	sites map[string]*Site
	// writes counts the steps that write.
	writes *countedStore
}

// countedStore counts the steps that write.
type countedStore struct {
	storage.Store
	updates int
}

func (c *countedStore) Update(ctx context.Context, fn func(storage.Tx) error) error {
	c.updates++
	return c.Store.Update(ctx, fn)
}

func newSeveral(t *testing.T) *several {
	t.Helper()
	s := &several{gate: newGate(t), sites: map[string]*Site{}}
	s.writes = &countedStore{Store: s.state.Store}
	s.pages.Flows.Store = s.writes
	portal := &Portal{Origin: authOrigin, Base: authOrigin + "/email-link"}
	everybody := func(*accounts.Account) bool { return true }
	reference := func(*http.Request, *accounts.Account) string { return "K7QF2MAB" }
	for _, origin := range []string{authOrigin, photosOrigin, filesOrigin} {
		site := *s.site
		site.Origin, site.Portal, site.Led, site.FormActions, site.Name = origin, portal, origin != authOrigin, nil, ""
		s.sites[origin] = &site
		if site.Led {
			portal.Sites = append(portal.Sites, PortalSite{Origin: origin, Base: origin + site.Prefix, Name: site.Host(), Admits: everybody, LogRefusal: reference})
		}
	}
	portal.Site = func(origin string) *PortalSite {
		i := slices.IndexFunc(portal.Sites, func(s PortalSite) bool { return s.Origin == origin })
		if i < 0 {
			return nil
		}
		return &portal.Sites[i]
	}
	s.site = s.sites[authOrigin] // for the mails
	return s
}

// ServeHTTP is the gate before all of them.
func (s *several) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	site := s.sites["https://"+r.Host]
	v := Visit{Site: site, Cookies: boundary.ExtractCookies(r.Header, true), Client: netip.MustParseAddr("192.0.2.7")}
	live, err := s.state.Sessions.Find(r.Context(), v.Cookies.Session, site.Origin)
	if err != nil {
		s.t.Fatal(err)
	}
	if v.Live = live; strings.HasPrefix(r.URL.Path, site.Prefix) {
		s.pages.Serve(w, r, v)
		return
	}
	switch {
	case !site.Led:
		s.pages.Refuse(w, r, v, PortalOnly)
	case live == nil, site.MaxAge > 0 && s.state.Clock.Now().Sub(live.Session.AuthTime) > site.MaxAge:
		s.pages.Refuse(w, r, v, SignIn)
	default:
		_, _ = io.WriteString(w, "app of "+r.Host)
	}
}

// person is a browser that goes to several hosts and follows where it is led.
type person struct {
	s *several
	// jar are the cookies of each host, set all lines by which any was set, trail the addresses of the last visit.
	jar   map[string]map[string]string
	set   []string
	trail []string
	// header is what it sends with each request.
	header http.Header
}

func (s *several) person() *person {
	return &person{s: s, jar: map[string]map[string]string{}, header: http.Header{
		"Accept": {"text/html,application/xhtml+xml"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"cross-site"},
	}}
}

// send sends one request. A nil form is none.
func (p *person) send(method, address string, form url.Values) answer {
	p.s.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, address, body)
	r.Header = p.header.Clone()
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://"+r.Host)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, value := range p.jar[r.Host] {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	p.s.ServeHTTP(w, r)
	if p.jar[r.Host] == nil {
		p.jar[r.Host] = map[string]string{}
	}
	res := w.Result()
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(p.jar[r.Host], c.Name)
		} else {
			p.jar[r.Host][c.Name] = c.Value
		}
	}
	p.set = append(p.set, res.Header["Set-Cookie"]...)
	return answer{status: w.Code, location: w.Header().Get("Location"), body: w.Body.String(), header: w.Header()}
}

// visit follows all redirects, and returns the last answer.
func (p *person) visit(address string, form ...url.Values) answer {
	p.s.t.Helper()
	method, fields := http.MethodGet, url.Values(nil)
	if len(form) > 0 {
		method, fields = http.MethodPost, form[0]
	}
	p.trail = nil
	for range 20 {
		p.trail = append(p.trail, address)
		a := p.send(method, address, fields)
		if a.status/100 != 3 {
			return a
		}
		at, err := url.Parse(address)
		if err != nil {
			p.s.t.Fatal(err)
		}
		to, err := at.Parse(a.location)
		if err != nil {
			p.s.t.Fatal(err)
		}
		if p.s.sites["https://"+to.Host] == nil {
			p.s.t.Fatalf("led out of the sites, to %s, by way of %v", to, p.trail)
		}
		method, fields, address = http.MethodGet, nil, to.String()
	}
	p.s.t.Fatalf("led round: %v", p.trail)
	return answer{}
}

// at returns where the last visit has ended.
func (p *person) at() string { return p.trail[len(p.trail)-1] }

// signIn signs in at the portal by a mail, and goes where that leads.
func (p *person) signIn(email, back string) answer {
	p.s.t.Helper()
	p.s.deliver()
	p.visit(authOrigin+"/email-link/sign-in", url.Values{"email": {email}, "return_to": {back}})
	mails := p.s.deliver()
	if len(mails) == 0 {
		p.s.t.Fatal("no mail")
	}
	_, text, _ := strings.Cut(mails[0].Text, authOrigin+"/email-link/link?t=")
	text, _, _ = strings.Cut(text, "\n")
	return p.visit(authOrigin + "/email-link/link?t=" + text)
}

// session returns the cookie of the session at an origin.
func (p *person) session(origin string) string {
	return p.jar[strings.TrimPrefix(origin, "https://")][boundary.CookieName("", true)]
}

// stop goes from an address as far as a path, and returns the address there without opening it.
func (p *person) stop(address, path string) string {
	p.s.t.Helper()
	for range 20 {
		a := p.send(http.MethodGet, address, nil)
		at, err := url.Parse(address)
		if err != nil {
			p.s.t.Fatal(err)
		}
		to, err := at.Parse(a.location)
		if err != nil || a.status/100 != 3 {
			p.s.t.Fatalf("%s leads to %d %q, not to %s", address, a.status, a.location, path)
		}
		if address = to.String(); to.Path == path {
			return address
		}
	}
	p.s.t.Fatalf("led round, and not to %s", path)
	return ""
}
