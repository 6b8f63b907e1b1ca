package web

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestRED1_AScriptsUserComesBackToThePage: `location = problem.sign_in` must not leave a person, signed in, before raw JSON.
func TestRED1_AScriptsUserComesBackToThePage(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	const signIn = origin + "/email-link/sign-in"
	for name, c := range map[string]struct {
		method, referer string
		header          []string
		want            string
	}{
		"a navigation":              {want: "", header: []string{"Sec-Fetch-Mode", "navigate"}},
		"a fetch":                   {referer: origin + "/board?x=1#top", want: signIn + "?return_to=%2Fboard%3Fx%3D1", header: []string{"Sec-Fetch-Mode", "cors"}},
		"a fetch with Accept":       {referer: origin + "/board", want: signIn + "?return_to=%2Fboard", header: []string{"Accept", "application/json"}},
		"a POST":                    {method: "POST", referer: origin + "/board", want: signIn + "?return_to=%2Fboard"},
		"of the front page":         {referer: origin + "/", want: signIn, header: []string{"Sec-Fetch-Mode", "cors"}},
		"without a referer":         {want: signIn, header: []string{"Sec-Fetch-Mode", "cors"}},
		"of another site":           {referer: "https://evil.example/board", want: signIn, header: []string{"Sec-Fetch-Mode", "cors"}},
		"of the site in plain http": {referer: "http://app.example.com/board", want: signIn, header: []string{"Sec-Fetch-Mode", "cors"}},
		"of a longer host":          {referer: origin + ".evil.example/board", want: signIn, header: []string{"Sec-Fetch-Mode", "cors"}},
		"that leaves the site":      {referer: origin + "//evil.example", want: signIn, header: []string{"Sec-Fetch-Mode", "cors"}},
		"of our own page":           {referer: origin + "/email-link/account/delete", want: signIn, header: []string{"Sec-Fetch-Mode", "cors"}},
		"that is no address":        {referer: "::", want: signIn, header: []string{"Sec-Fetch-Mode", "cors"}},
	} {
		for _, forwardAuth := range []bool{false, true} {
			r := httptest.NewRequest(cmp.Or(c.method, http.MethodGet), origin+"/api/me", http.NoBody)
			r.Header.Set("Referer", c.referer)
			for i := 0; i+1 < len(c.header); i += 2 {
				r.Header.Set(c.header[i], c.header[i+1])
			}
			w := httptest.NewRecorder()
			v := Visit{Site: g.site, URI: "/api/me"}
			if forwardAuth {
				g.pages.RefuseVerify(w, r, v, SignIn, false)
			} else {
				g.pages.Refuse(w, r, v, SignIn)
			}
			want := c.want
			if want == "" {
				if !forwardAuth && (w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/email-link/sign-in?return_to=%2Fapi%2Fme") {
					t.Errorf("%s: %d, %s", name, w.Code, w.Header().Get("Location"))
				}
				continue
			}
			if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"sign_in":"`+want+`"`) {
				t.Errorf("%s, forward-auth %v: %d %s", name, forwardAuth, w.Code, w.Body)
			}
		}
	}
}
