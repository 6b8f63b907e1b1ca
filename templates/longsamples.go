package templates

import (
	"fmt"
	"strings"
	"time"
)

// Names that no line of a small window holds: one with no place to break, and one of many words.
var (
	longAddress = "anna.maria." + strings.Repeat("x", 53) + "@" + strings.Repeat("mailbox", 8) + "." + strings.Repeat("sub.", 20) + "example.com"
	longWord    = strings.Repeat("Donaudampfschifffahrt", 4)
	longName    = strings.Repeat("Anna Maria ", 9)
	longSite    = strings.Repeat("photos-of-the-family.", 8) + "example.org"
)

// longSamples lists the pages of an account with everything in it at its longest.
func longSamples() []PageSample {
	frame := sampleFrame
	frame.Site, frame.Contact = longWord, longAddress
	roles := []string{longWord, longWord, "reader"}
	token := NewToken{Name: longName[:60], Site: longSite, Scopes: []string{strings.Repeat("calendar:", 7), "files:read"}, Lifetime: 90 * 24 * time.Hour}
	form := TokenForm{Email: longAddress, Current: true, Name: token.Name, Days: 90, MaxDays: 90, Sites: []SiteChoice{{"https://" + longSite, longSite, true}, {"https://b.example", longWord, false}}}
	for _, s := range token.Scopes {
		form.Scopes = append(form.Scopes, CheckBox{s, true})
	}
	invite := Confirm{Token: "c2FtcGxl", Account: longAddress, AskName: true, AskPassword: true, MinLength: 12, Username: longAddress}
	invite.Invite = &Invitation{Inviter: longAddress, Site: longSite, Roles: strings.Join(roles, ", "), Note: longName + longWord}
	invitation := InvitationForm{Email: longAddress, Current: true, Typed: longAddress, Sites: form.Sites, Roles: []CheckBox{{longWord, true}, {"reader", false}}, Lifetime: 30 * 24 * time.Hour}
	home := Home{Email: longAddress, Name: longName, Roles: roles, Device: "Firefox on Linux", Methods: []string{"link"}, Since: sampleTime, Ends: sampleTime, Portal: true, Several: true}
	for range 13 {
		home.Apps = append(home.Apps, App{Name: longSite, Address: "https://" + longSite}, App{Name: longWord, Address: "https://b.example"})
	}
	return []PageSample{
		{"account-long", 200, frame, longAccount()},
		{"home-long", 200, frame, home},
		{"token-long", 200, frame, form},
		{"token-made-long", 200, frame, TokenMade{Text: "elt_" + strings.Repeat("c2FtcGxl", 40), Token: token, Ends: sampleTime.Add(token.Lifetime)}},
		{"prove-long", 200, frame, Prove{Act: "token", Token: &token, Address: longAddress, End: sampleTime.Add(15 * time.Minute)}},
		{"prove-address-long", 200, frame, Prove{Act: "address", New: longAddress, Address: longAddress, End: sampleTime.Add(15 * time.Minute)}},
		{"invitation-long", 200, frame, invitation},
		{"prove-invite-long", 200, frame, Prove{Act: "invite", New: longAddress, InvitedTo: longSite, Roles: strings.Join(roles, ", "), Address: longAddress, End: sampleTime.Add(15 * time.Minute)}},
		{"delete-long", 200, frame, Delete{Email: longAddress, Grace: 72 * time.Hour, LastRoles: roles}},
		{"confirm-undo-long", 200, frame, ConfirmUndo{Token: "c2FtcGxl", Account: longAddress, Ends: sampleTime}},
		{"confirm-invite-long", 200, frame, invite},
		{"confirm-address-long", 200, frame, ConfirmAddress{Token: "c2FtcGxl", Kind: "consent", Address: longAddress, New: longAddress, Asked: sampleTime, Device: "Safari on iPhone"}},
	}
}

// longAccount is an account that is signed in a thousand times.
func longAccount() Account {
	a := Account{
		Email: longAddress, Name: longName, TypedName: longName, MayName: true, Language: "en", Sessions: true, Passwords: true, Export: true, Delete: true, NewToken: true,
		Current: true, Others: true, More: 980, Address: AccountAddress{Form: true, Change: &AddressChange{Address: longAddress, Code: true, End: sampleTime}},
	}
	for i := range 20 {
		id := fmt.Sprintf("bG9uZw%d", i)
		a.Browsers = append(a.Browsers, SignedInBrowser{
			ID: id, Device: "Samsung Internet on Android", Network: "2001:db8:abcd::/48", Methods: []string{"link"}, Since: sampleTime, Seen: sampleTime,
			Sites: []string{longSite, longWord}, Current: i == 0,
		})
		a.Tokens = append(a.Tokens, AccountToken{ID: id, Name: longName[:60], Site: longSite, Scopes: []string{strings.Repeat("calendar:", 7), "files"}, Created: sampleTime, Ends: sampleTime})
	}
	for i := range 40 {
		a.Invitations = append(a.Invitations, AccountInvitation{
			ID: fmt.Sprintf("bG9uZ2ludml0ZQ%d", i), Email: longAddress, Site: longSite, Roles: []string{longWord, "reader"}, Sent: sampleTime, Ends: sampleTime, Open: i < 20,
		})
	}
	a.NewInvitation, a.MoreInvitations = true, 100
	for range 50 {
		a.Events = append(a.Events, AccountEvent{Time: sampleTime, Name: "signed_in", Outcome: "portal", Site: longSite, Network: "2001:db8:abcd::/48"})
	}
	return a
}
