package web

import (
	"net/http"
	"strconv"
)

// endingWorker is the service worker that a browser without a session gets in place of the app's. It ends the registration, so that
// navigations reach the gate again, and then reloads the window that was used last, which leads to the sign-in page. Every other window
// stays as it is, since a person may have text in a form there, and so does a page of the gate's own, which answers the question for it
// (templates/assets/page.js): an app's worker that asks the network first has let it through.
//
// Which window was used last is told by its focus. matchAll promises that order, but Chromium remembers when a tab had the focus for the
// first time.
//
// It has no handler for fetch and claims no window that the app's worker has not controlled. A public page that registers the worker
// anew at each load is therefore not reloaded again and again.
const endingWorker = `// The session of this browser has ended. This worker takes the place of the app's, whose answers from a cache
// would hide the sign-in page, and removes itself. The app's own worker is back after the next sign-in.
const isSignInPage = (client) => new Promise((resolve) => {
	const {port1, port2} = new MessageChannel();
	port1.onmessage = (event) => resolve(event.data === 'email_link');
	client.postMessage('email_link', [port2]);
	setTimeout(() => resolve(false), 500);
});
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil((async () => {
	const windows = (await self.clients.matchAll({type: 'window'})).filter((client) => client.frameType !== 'nested');
	await self.registration.unregister();
	const seen = windows.filter((client) => client.visibilityState === 'visible');
	const last = seen.find((client) => client.focused) || seen[0] || windows[0];
	if (last && !await isSignInPage(last)) await last.navigate(last.url);
})()));
`

// endServiceWorker answers with the worker that removes itself. Service-Worker-Allowed lets it take the place of one whose scope is wider
// than its path (Service Workers, section "Update"): it handles nothing there, whatever its scope.
func (x *exchange) endServiceWorker() {
	x.setScriptHeaders()
	x.setType("text/javascript; charset=utf-8")
	h := x.w.Header()
	h.Add("Vary", "Cookie")
	h.Set("Service-Worker-Allowed", "/")
	h.Set("Content-Length", strconv.Itoa(len(endingWorker)))
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write([]byte(endingWorker))
}
