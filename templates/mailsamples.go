package templates

import (
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// MailSample is one state of one mail.
type MailSample struct {
	Name string
	Mail Mail
}

// MailSamples lists every state of every mail.
func MailSamples() []MailSample {
	base := Mail{
		Kind: mailer.KindLink, Site: "Example", Host: "app.example.com", Origin: "https://app.example.com", Prefix: "/email-link",
		Contact: "help@example.com", Asked: sampleTime, Device: "Safari on iPhone", Network: "192.0.2.0/24",
		Ends:   sampleTime.Add(15 * time.Minute),
		Cancel: "https://app.example.com/email-link/cancel?t=AGkxQmNhbmNlbGxpbmcgaXMgYSB0b2tlbiBvZiBpdHMgb3du",
	}
	with := func(change func(*Mail)) Mail { m := base; change(&m); return m }
	return []MailSample{
		{"sign-in", with(func(m *Mail) { m.Link, m.Code = sampleLink, "12345678" })},
		{"sign-in-no-code", with(func(m *Mail) { m.Link, m.Network, m.Device, m.Contact = sampleLink, "", "a browser", "" })},
		{"sign-in-code-only", with(func(m *Mail) { m.Code = "12345678" })},
		{"sign-up", with(func(m *Mail) {
			m.Link, m.Code, m.SignUp, m.Ends = sampleLink, "12345678", true, sampleTime.Add(24*time.Hour)
		})},
		{"reset", with(func(m *Mail) { m.Kind, m.Link, m.Ends = mailer.KindReset, sampleLink, sampleTime.Add(30*time.Minute) })},
		{"proof-export", with(func(m *Mail) { m.Kind, m.Act, m.Code = mailer.KindProof, "export", "12345678" })},
		{"invite", with(func(m *Mail) {
			m.Kind, m.Link, m.Ends, m.Cancel, m.Device, m.Network = mailer.KindInvite, sampleLink, sampleTime.Add(7*24*time.Hour), "", "", ""
			m.InvitedTo, m.Inviter, m.Roles = m.Site, "sam@example.com", "family, guest"
		})},
		{"invite-asked", with(func(m *Mail) {
			m.Kind, m.SignUp, m.Link, m.Code, m.InvitedTo, m.Roles = mailer.KindInvite, true, sampleLink, "12345678", m.Site, "guest"
		})},
		{"exists", with(func(m *Mail) {
			m.Kind, m.SignUp, m.Link, m.Code = mailer.KindAccountExists, true, sampleLink, "12345678"
		})},
		{"exists-code-only", with(func(m *Mail) { m.Kind, m.SignUp, m.Code = mailer.KindAccountExists, true, "12345678" })},
		{"proof-address", with(func(m *Mail) {
			m.Kind, m.Act, m.Address, m.Code = mailer.KindProof, "address", "jo@new.example.com", "12345678"
		})},
		{"address-new", with(func(m *Mail) {
			m.Kind, m.Link, m.Code, m.Ends = mailer.KindAddressNew, sampleLink, "12345678", sampleTime.Add(24*time.Hour)
		})},
		{"address-consent", with(func(m *Mail) {
			m.Kind, m.Link, m.Address, m.Ends = mailer.KindAddressConsent, sampleLink, "jo@new.example.com", sampleTime.Add(24*time.Hour)
		})},
		{"address-changed-back", with(func(m *Mail) {
			m.Kind, m.Link, m.Address, m.Cancel = mailer.KindAddressChanged, sampleLink, "jo@new.example.com", ""
			m.Ends = sampleTime.Add(7 * 24 * time.Hour)
		})},
		{"address-changed-old", with(func(m *Mail) {
			m.Kind, m.Address, m.Cancel, m.Device, m.Network = mailer.KindAddressChanged, "jo@new.example.com", "", "", ""
		})},
		{"address-changed-new", with(func(m *Mail) { m.Kind, m.Cancel = mailer.KindAddressChanged, "" })},
		{"address-restored", with(func(m *Mail) { m.Kind, m.Address, m.Cancel = mailer.KindAddressRestored, "jo@example.com", "" })},
		{"address-restored-new", with(func(m *Mail) { m.Kind, m.Cancel = mailer.KindAddressRestored, "" })},
		{"exists-address", with(func(m *Mail) { m.Kind = mailer.KindAccountExists })},
		{"exists-plain", with(func(m *Mail) { m.Kind, m.SignUp = mailer.KindAccountExists, true })},
		{"no-account", with(func(m *Mail) { m.Kind = mailer.KindNoAccount })},
		{"no-account-app", with(func(m *Mail) { m.Kind, m.App = mailer.KindNoAccount, true })},
		{"no-account-reset", with(func(m *Mail) { m.Kind, m.Reset = mailer.KindNoAccount, true })},
		{"proof-token", with(func(m *Mail) {
			m.Kind, m.Act, m.Code = mailer.KindProof, "token", "12345678"
			m.Token = &NewToken{Name: "Calendar", Site: "app.example.com", Scopes: []string{"calendar", "files"}, Lifetime: 30 * 24 * time.Hour}
		})},
		{"proof-invite", with(func(m *Mail) {
			m.Kind, m.Act, m.Address, m.Code = mailer.KindProof, "invite", "ada@example.org", "12345678"
			m.InvitedTo, m.Roles = "Photos", "family, guest"
		})},
		{"proof-delete", with(func(m *Mail) { m.Kind, m.Act, m.Code = mailer.KindProof, "delete", "12345678" })},
		{"account-deleted", with(func(m *Mail) {
			m.Kind, m.Cancel, m.Link, m.Ends = mailer.KindAccountDeleted, "", sampleLink, sampleTime.Add(72*time.Hour)
		})},
		{"password-changed", with(func(m *Mail) { m.Kind, m.Cancel = mailer.KindPasswordChanged, "" })},
		{"password-changed-no-network", with(func(m *Mail) { m.Kind, m.Cancel, m.Network = mailer.KindPasswordChanged, "", "" })},
		{"new-device", with(func(m *Mail) { m.Kind = mailer.KindNewDevice })},
		{"new-device-no-network", with(func(m *Mail) { m.Kind, m.Network = mailer.KindNewDevice, "" })},
	}
}
