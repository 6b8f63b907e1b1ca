package gatetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// LinkIn finds the link to sign in with in a mail's text.
var LinkIn = regexp.MustCompile(`https?://\S+/link\?t=[A-Za-z0-9_.-]+`)

// Navigation is what a browser sends for a link on another site.
var Navigation = http.Header{
	"Accept": {"text/html,application/xhtml+xml"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"},
	"Sec-Fetch-Site": {"cross-site"},
}

// Submission is what it sends with a form; Send adds the rest.
var Submission = http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}

// Browser is a browser without JavaScript at one origin. It keeps cookies and follows no redirects.
type Browser struct {
	*http.Client
	// Origin is where it is.
	Origin string
}

// NewBrowser returns a browser without cookies.
func NewBrowser(origin string, transport *http.Transport) *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // it never fails without options
	}
	return &Browser{Origin: origin, Client: &http.Client{
		Jar: jar, Transport: transport, Timeout: Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Send sends a request to a path of the origin, or to a whole URL, and returns the response with its body, which it has closed. A form
// comes from a page of the origin. Later headers win.
func (b *Browser) Send(ctx context.Context, method, path string, form url.Values, headers ...http.Header) (*http.Response, string, error) {
	target := path
	if strings.HasPrefix(path, "/") {
		target = b.Origin + path
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", b.Origin)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, header := range headers {
		for name, values := range header {
			r.Header[name] = values
		}
	}
	res, err := b.Do(r)
	if err != nil {
		return nil, "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, "", fmt.Errorf("%s %s: reading: %w", method, path, err)
	}
	return res, string(text), nil
}

// SignUp makes an account and signs it in, all in this browser. It calls link for the link of the next mail, and sends headers with each
// request.
func (b *Browser) SignUp(ctx context.Context, email string, link func() string, headers ...http.Header) error {
	res, body, err := b.Send(ctx, http.MethodPost, "/email-link/sign-up", url.Values{"email": {email}}, append(headers, Submission)...) //nolint:bodyclose // Send has closed it
	if err != nil {
		return err
	}
	if to := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || to != "/email-link/resend" {
		return fmt.Errorf("sign-up: %d, Location %q\n%s", res.StatusCode, to, body)
	}
	found := link()
	if found == "" {
		return errors.New("no link in the mail")
	}
	if !strings.HasPrefix(found, b.Origin+"/") {
		return fmt.Errorf("the link in the mail leads elsewhere: %.40s", found)
	}
	res, body, err = b.Send(ctx, http.MethodGet, found, nil, append(headers, Navigation)...) //nolint:bodyclose // Send has closed it
	if err != nil {
		return err
	}
	if to := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || strings.HasSuffix(to, "/confirm") {
		return fmt.Errorf("the link: %d, Location %q\n%s", res.StatusCode, to, body)
	}
	return nil
}
