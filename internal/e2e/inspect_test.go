//go:build e2e

package e2e

import "strings"

// inspection is what can be told of any page by looking at its document.
type inspection struct {
	Lang, Dir, Title, Compat       string
	Headings, Mains, Scripts       int
	Unlabeled, Dangling, Doubled   []string
	Stray                          []string
	Unnamed, Inline, Small, Remote []string
	Alerts, Focused                []string
	Invalid                        []string
	Wide, Window                   float64
}

// inspectPage runs in the developer tools' context, so the page's own scripts stay off.
const inspectPage = `(() => {
	const all = (s) => [...document.querySelectorAll(s)];
	const name = (e) => e.id || e.name || e.outerHTML.slice(0, 80);
	const ids = all('[id]').map((e) => e.id);
	const visible = all('input:not([type=hidden], [hidden]), button, a.button').map((e) => [name(e), e.getBoundingClientRect()]);
	return {
		Lang: document.documentElement.lang, Dir: document.documentElement.dir, Title: document.title, Compat: document.compatMode,
		Headings: all('h1').length, Mains: all('main').length, Scripts: all('script').filter((e) => !new URL(e.src).pathname.startsWith('/email-link/assets/page.')).length,
		Unlabeled: all('input:not([type=hidden], [hidden])').filter((e) => !e.labels.length || !e.labels[0].innerText.trim()).map(name),
		Stray: all('label').filter((e) => e.getClientRects().length && e.control && !e.control.getClientRects().length).map((e) => e.innerText),
		Dangling: all('[aria-describedby]').flatMap((e) => e.getAttribute('aria-describedby').trim().split(/\s+/)).filter((id) => !ids.includes(id)),
		Doubled: ids.filter((id, i) => ids.indexOf(id) !== i),
		Unnamed: all('a, button').filter((e) => !e.innerText.trim()).map(name),
		Inline: all('*').flatMap((e) => [...e.attributes].filter((a) => a.name === 'style' || a.name.startsWith('on')).map((a) => name(e) + ' ' + a.name)),
		Small: visible.filter(([, r]) => r.width < 24 || r.height < 24).map(([n]) => n),
		Remote: all('[src], link[href], form[action]').map((e) => e.src || e.href || e.action).filter((u) => !u.startsWith(location.origin + '/') && !u.startsWith('data:')),
		Alerts: all('[role=alert]').map((e) => e.innerText.trim()),
		Focused: document.activeElement && document.activeElement !== document.body ? [name(document.activeElement)] : [],
		Invalid: all('[aria-invalid=true]').map(name),
		Wide: document.scrollingElement.scrollWidth, Window: window.innerWidth,
	};
})()`

// inspect checks what holds for every page of ours: it fits the window, has a language, a title, one heading and one main
// part, labels that belong to their fields, controls with names and big enough to hit, and no script but ours.
func (b *browser) inspect() inspection {
	b.t.Helper()
	p := evaluate[inspection](b, inspectPage)
	if p.Wide > p.Window {
		b.t.Errorf("%s at %s: the page is %v wide in a window of %v", b.name, b.path(), p.Wide, p.Window)
	}
	if p.Lang == "" || p.Dir == "" || !strings.Contains(p.Title, " · ") || p.Compat != "CSS1Compat" || p.Headings != 1 || p.Mains != 1 {
		b.t.Errorf("%s at %s: lang %q, dir %q, title %q, %s, %d headings, %d main parts",
			b.name, b.path(), p.Lang, p.Dir, p.Title, p.Compat, p.Headings, p.Mains)
	}
	for what, found := range map[string][]string{
		"fields without a label": p.Unlabeled, "labels of hidden fields": p.Stray, "descriptions that are not there": p.Dangling, "double ids": p.Doubled,
		"controls without a name": p.Unnamed, "inline styles and handlers": p.Inline, "controls smaller than 24 pixels": p.Small,
		"addresses elsewhere": p.Remote,
	} {
		if len(found) > 0 {
			b.t.Errorf("%s at %s: %s: %q", b.name, b.path(), what, found)
		}
	}
	if p.Scripts > 0 {
		b.t.Errorf("%s at %s: %d scripts that are not ours", b.name, b.path(), p.Scripts)
	}
	// What went wrong is announced, and the field that it is about has the focus.
	// Chromium gives the focus with the page's first frame, which may come after the page has been read.
	focused := len(p.Invalid) == 0 || b.await(func() bool {
		p = evaluate[inspection](b, inspectPage)
		return len(p.Focused) == 1 && len(p.Invalid) > 0 && p.Focused[0] == p.Invalid[0]
	})
	if !focused || len(p.Invalid) > 0 && len(p.Alerts) != 1 {
		b.t.Errorf("%s at %s: invalid %q, alerts %q, focus on %q", b.name, b.path(), p.Invalid, p.Alerts, p.Focused)
	}
	b.headers()
	return p
}

// headers checks WEB-2 on what the browser received.
func (b *browser) headers() {
	b.t.Helper()
	for name, want := range map[string]string{
		"content-security-policy": "default-src 'none'", "x-frame-options": "DENY", "x-content-type-options": "nosniff",
		"cache-control": "no-store", "referrer-policy": "strict-origin", "cross-origin-opener-policy": "same-origin",
	} {
		if !strings.Contains(b.header[name], want) {
			b.t.Errorf("WEB-2: %s at %s: %s is %q", b.name, b.path(), name, b.header[name])
		}
	}
}
