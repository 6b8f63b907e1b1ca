package smtp

import (
	"errors"
	"slices"
	"strings"

	gosmtp "github.com/wneessen/go-mail/smtp"
)

var errNoMechanism = errors.New("the server offers none of the sign-in mechanisms SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, LOGIN and CRAM-MD5")

// auth picks the mechanism from what the server offers, once the connection is secured. SCRAM comes first because the
// password itself never leaves; CRAM-MD5 last, because servers that offer it keep passwords in the clear.
type auth struct {
	user, password, host string
	chosen               gosmtp.Auth
}

// Start implements go-mail's Auth.
func (a *auth) Start(server *gosmtp.ServerInfo) (string, []byte, error) {
	offered := make([]string, len(server.Auth))
	for i, mech := range server.Auth {
		offered[i] = strings.ToUpper(mech)
	}
	for _, m := range []struct {
		name string
		auth gosmtp.Auth
	}{
		{"SCRAM-SHA-256", gosmtp.ScramSHA256Auth(a.user, a.password)},
		{"SCRAM-SHA-1", gosmtp.ScramSHA1Auth(a.user, a.password)},
		// Whether the line is good enough for a readable password was decided before.
		{"PLAIN", gosmtp.PlainAuth("", a.user, a.password, a.host, true)},
		{"LOGIN", gosmtp.LoginAuth(a.user, a.password, a.host, true)},
		{"CRAM-MD5", gosmtp.CRAMMD5Auth(a.user, a.password)},
	} {
		if slices.Contains(offered, m.name) {
			a.chosen = m.auth
			return a.chosen.Start(server)
		}
	}
	return "", nil, errNoMechanism
}

// Next implements go-mail's Auth.
func (a *auth) Next(fromServer []byte, more bool) ([]byte, error) {
	return a.chosen.Next(fromServer, more)
}
