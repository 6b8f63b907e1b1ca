package gate

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// deferring changes headers when an answer begins, as the directive `header` of Caddy does.
type deferring struct {
	http.ResponseWriter
	change func(http.Header)
	begun  bool
}

func (d *deferring) WriteHeader(code int) {
	if !d.begun {
		d.begun = true
		d.change(d.Header())
	}
	d.ResponseWriter.WriteHeader(code)
}

func (d *deferring) Write(p []byte) (int, error) {
	d.WriteHeader(http.StatusOK)
	return d.ResponseWriter.Write(p)
}

func TestCONF6_OwnAnswersKeepTheirHeaders(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(http.Header)
		own, want http.Header
	}{
		"set": {
			func(h http.Header) {
				h["X-Frame-Options"], h["Cache-Control"] = []string{"SAMEORIGIN"}, []string{"public"}
			},
			http.Header{"X-Frame-Options": {"DENY"}, "Cache-Control": {"no-store"}},
			http.Header{"X-Frame-Options": {"DENY"}, "Cache-Control": {"no-store"}},
		},
		"deleted, others as the site has them": {
			func(h http.Header) {
				delete(h, "Content-Security-Policy")
				delete(h, "Server")
				h["X-Site"] = []string{"1"}
			},
			http.Header{"Content-Security-Policy": {"default-src 'none'"}, "Server": {"Caddy"}},
			http.Header{"Content-Security-Policy": {"default-src 'none'"}, "X-Site": {"1"}},
		},
		"edited in place": {
			func(h http.Header) {
				h["Location"][0] = "https://evil.example"
				h["Set-Cookie"] = append(h["Set-Cookie"], "a=b")
			},
			http.Header{"Location": {"/email-link/sign-in"}, "Set-Cookie": {"c=d"}},
			http.Header{"Location": {"/email-link/sign-in"}, "Set-Cookie": {"c=d"}},
		},
		"not ours": {
			func(h http.Header) { h["Strict-Transport-Security"] = []string{"max-age=1"} },
			http.Header{},
			http.Header{"Strict-Transport-Security": {"max-age=1"}},
		},
		"shorter HSTS": {
			func(h http.Header) { h["Strict-Transport-Security"] = []string{"max-age=1"} },
			http.Header{"Strict-Transport-Security": {"max-age=2"}},
			http.Header{"Strict-Transport-Security": {"max-age=2"}},
		},
		"longer HSTS": {
			func(h http.Header) { h["Strict-Transport-Security"] = []string{"max-age=3; preload"} },
			http.Header{"Strict-Transport-Security": {"max-age=2"}},
			http.Header{"Strict-Transport-Security": {"max-age=3; preload"}},
		},
		"how the body is coded": {
			func(h http.Header) { delete(h, "Content-Length"); h["Content-Encoding"] = []string{"gzip"} },
			http.Header{"Content-Length": {"2"}},
			http.Header{"Content-Encoding": {"gzip"}},
		},
	} {
		for _, implicit := range []bool{false, true} {
			rec := httptest.NewRecorder()
			answer := &OwnAnswer{ResponseWriter: rec}
			w := answer.Writer(&deferring{ResponseWriter: answer, change: c.change})
			for name, values := range c.own {
				w.Header()[name] = append([]string(nil), values...)
			}
			if !implicit {
				w.WriteHeader(http.StatusOK)
			}
			if _, err := w.Write([]byte("ok")); err != nil {
				t.Fatal(err)
			}
			got := rec.Result().Header
			if implicit {
				delete(got, "Content-Type") // the recorder sniffs it
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s, implicit %v: (-want +got):\n%s", name, implicit, diff)
			}
		}
	}
}
