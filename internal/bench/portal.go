package main

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// siteLed is a site whose people sign in at the portal, which is at another name of this machine: its host may have no other site. The rows of
// the other sites know no portal.
const siteLed = "led"

// portalBlock is the portal's site, with $PORTAL.
const portalBlock = "$PORTAL {\n\tbind 127.0.0.1\n\temail_link {\n\t\tbase_url $PORTAL\n\t}\n}\n"

// openLed opens a session at the portal and the one of siteLed that belongs to it.
func (s *sites) openLed(tx storage.Tx, v *vault.Vault, manager *session.Manager, a accounts.Account, addr address.Address) (string, error) {
	in := signedInput(addr.Mailbox(v.Ring), s.portal)
	_, parent, err := manager.Open(tx, a, in)
	if err != nil {
		return "", err
	}
	in.Site, in.Parent = "http://"+s.addr[siteLed], &parent
	cookie, _, err := manager.Open(tx, a, in)
	return cookie, err
}

// parentRow is a signed-in request whose session belongs to one at the portal, beside one whose session is of its own.
func parentRow(b *bench) ([]figure, error) {
	s, err := b.sites()
	if err != nil {
		return nil, err
	}
	a, c, err := b.inTurns(s, shape{conns: 32}, s.signedIn(siteSigned), s.signedIn(siteLed))
	if err != nil {
		return nil, err
	}
	const against = "a session without a portal"
	return []figure{
		atLeast(figure{what: "requests/s", floor: against, values: perSecond(a, c)}, 0.99),
		cpuFigure(figure{what: "CPU of a request", floor: against}, a, c),
	}, nil
}

// portalAnonymousRow is a person's browser that is not signed in: at a page of the app, which leads to the site's own sign-in page in either
// case, and at that page, which leads on to the portal instead of showing a form.
func portalAnonymousRow(b *bench) ([]figure, error) {
	s, err := b.sites()
	if err != nil {
		return nil, err
	}
	side := func(site, path string, status int) side {
		header := browser("")
		for i := 0; i < len(header); i += 2 {
			switch header[i] {
			case "Accept":
				header[i+1] = "text/html,application/xhtml+xml"
			case "Sec-Fetch-Dest":
				header[i+1] = "document"
			case "Sec-Fetch-Mode":
				header[i+1] = "navigate"
			}
		}
		return side{site: site, requests: []request{{path, header}}, status: status, size: -1}
	}
	a, c, err := b.inTurns(s, shape{conns: 32}, side(siteSigned, "/x", http.StatusSeeOther), side(siteLed, "/x", http.StatusSeeOther))
	if err != nil {
		return nil, err
	}
	const page = "/email-link/sign-in?return_to=%2Fx"
	f, l, err := b.inTurns(s, shape{conns: 32, brief: true}, side(siteSigned, page, http.StatusOK), side(siteLed, page, http.StatusSeeOther))
	if err != nil {
		return nil, err
	}
	return []figure{
		{what: "requests/s of a page of the app", floor: "the same without a portal", values: perSecond(a, c)},
		{what: "requests/s of the site's sign-in page", floor: "the form without a portal", values: perSecond(f, l)},
	}, nil
}
