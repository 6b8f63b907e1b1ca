package smtp

import (
	"slices"
	"strings"

	gosmtp "github.com/wneessen/go-mail/smtp"
)

// noMechanismError is the error of a server that offers no way to sign in that this package knows.
type noMechanismError struct {
	// offered are the mechanisms that it offers.
	offered []string
	// legacy is set when it offers them in a form older than RFC 2554, as in AUTH=LOGIN.
	legacy bool
}

func (e *noMechanismError) Error() string {
	switch {
	case e.legacy:
		return "the server announces sign-in as AUTH=…, a form from before 1999 that is not supported"
	case len(e.offered) == 0:
		return "the server offers no sign-in"
	}
	return "the only sign-in that the server offers is " + strings.Join(first(e.offered, 5), ", ")
}

// hint says what to do in a TLS mode.
func (e *noMechanismError) hint(mode string) string {
	const other = ", or send through a provider that accepts a user name and password"
	switch {
	case e.legacy:
		return "update the mail server" + other
	case len(e.offered) == 0 && mode == NoTLS:
		return "many servers offer sign-in only over TLS: write `tls starttls`"
	case len(e.offered) == 0:
		return "try port 587 or 465, where mail programs sign in, or leave user and password out"
	case !slices.ContainsFunc(e.offered, func(m string) bool { return m != "XOAUTH2" && m != "OAUTHBEARER" }):
		return "OAuth sign-in is not supported: turn on app passwords or SMTP AUTH at the mail provider" + other
	}
	return "allow SCRAM-SHA-256, PLAIN or LOGIN at the server" + other
}

// chooseAuth picks the mechanism from what the server offers, once the connection is secured. SCRAM comes first because the
// password itself never leaves; CRAM-MD5 last, because servers that offer it keep passwords in the clear.
func (m *Mailer) chooseAuth(client *gosmtp.Client) (gosmtp.Auth, error) {
	user, password := m.cfg.User, m.cfg.Password
	_, params := client.Extension("AUTH")
	offered := strings.Fields(strings.ToUpper(params))
	for _, mech := range []struct {
		name string
		auth gosmtp.Auth
	}{
		{"SCRAM-SHA-256", gosmtp.ScramSHA256Auth(user, password)},
		{"SCRAM-SHA-1", gosmtp.ScramSHA1Auth(user, password)},
		// Whether the line is good enough for a readable password was decided before.
		{"PLAIN", gosmtp.PlainAuth("", user, password, m.host, true)},
		{"LOGIN", gosmtp.LoginAuth(user, password, m.host, true)},
		{"CRAM-MD5", gosmtp.CRAMMD5Auth(user, password)},
	} {
		if slices.Contains(offered, mech.name) {
			return mech.auth, nil
		}
	}
	legacy := false
	for _, name := range []string{"LOGIN", "PLAIN", "CRAM-MD5"} {
		is, _ := client.Extension("AUTH=" + name)
		legacy = legacy || is
	}
	return nil, &noMechanismError{offered: offered, legacy: legacy && len(offered) == 0}
}
