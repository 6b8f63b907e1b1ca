package templates

import "time"

// invitingSamples lists the pages on which people invite others: of a person who has one role to give, and refused where there is a choice.
func invitingSamples() []PageSample {
	account, full := accountSamples()
	invited, withdrawn := account, account
	invited.NewInvitation, invited.Invitations, invited.Invited = true, full.Invitations, full.Invitations[0].Email
	withdrawn.NewInvitation, withdrawn.Invitations, withdrawn.Done = true, full.Invitations[1:], "withdrawn"
	form := InvitationForm{Email: "jo@example.com", Roles: []CheckBox{{"guest", true}}, Lifetime: 7 * 24 * time.Hour}
	refused, many := form, form
	refused.Current, refused.Typed, refused.Roles, refused.Problem = true, "ada@example.org, sam@example.org", []CheckBox{{"family", false}, {"guest", true}}, Problem{Code: SeveralAddresses}
	refused.Sites = []SiteChoice{{"https://photos.example.org", "Photos", true}, {"https://files.example.com", "Files", false}}
	many.Typed, many.Problem = "ada@example.org", Problem{Code: TooManyInvitations}
	return []PageSample{
		{"account-invited", 200, sampleFrame, invited},
		{"account-withdrawn", 200, sampleFrame, withdrawn},
		{"invitation", 200, sampleFrame, form},
		{"invitation-refused", 400, sampleFrame, refused},
		{"invitation-many", 409, sampleFrame, many},
		{"prove-invite", 200, sampleFrame, Prove{
			Act: "invite", New: "ada@example.org", InvitedTo: "Photos", Roles: "family, guest", Address: "jo@example.com", End: sampleTime.Add(15 * time.Minute),
		}},
	}
}

// accountSamples are the page of an account of which there is little to say, and of one of which there is much.
func accountSamples() (account, full Account) {
	this := SignedInBrowser{
		ID: "dGhpcw", Device: "Firefox on Linux", Network: "192.0.2.0/24", Methods: []string{"link"}, Since: sampleTime.Add(-26 * time.Hour),
		Seen: sampleTime.Add(-time.Minute), Sites: []string{"app.example.com"}, Current: true,
	}
	regions := []TimezoneRegion{
		{"America", []Timezone{{"America/Argentina/Buenos_Aires", "Buenos Aires, Argentina"}, {"America/Lima", "Lima"}}},
		{"Europe", []Timezone{{"Europe/Berlin", "Berlin"}, {"Europe/Oslo", "Oslo"}}},
	}
	account = Account{Email: "jo@example.com", Regions: regions, MayName: true, Language: "en", Sessions: true, Browsers: []SignedInBrowser{this}}
	full = account
	phone := this
	phone.ID, phone.Device, phone.Network, phone.Current, phone.Sites = "cGhvbmU", "Safari on iPhone", "", false, []string{"Photos", "Files"}
	full.Timezone = "Europe/Berlin"
	full.Name, full.TypedName, full.Browsers, full.More, full.Others, full.Done = "Jo Doe", "Jo Doe", []SignedInBrowser{this, phone}, 3, true, "ended"
	full.Passwords, full.Password, full.Export, account.Export, full.Delete, full.NewToken = true, true, true, true, true, true
	full.Tokens = []AccountToken{
		{ID: "dG9rZW4", Name: "Calendar", Site: "app.example.com", Scopes: []string{"calendar", "files"}, Created: sampleTime, Ends: sampleTime.Add(90 * 24 * time.Hour)},
		{ID: "b3RoZXI", Site: "app.example.com", Scopes: []string{"files"}, Created: sampleTime, Ends: sampleTime.Add(time.Hour)},
	}
	full.NewInvitation, full.MoreInvitations = true, 2
	full.Invitations = []AccountInvitation{
		{ID: "aW52aXRl", Email: "ada@example.org", Site: "Photos", Roles: []string{"family", "guest"}, Sent: sampleTime, Ends: sampleTime.Add(7 * 24 * time.Hour), Open: true},
		{ID: "ZW5kZWQ", Email: "sam@example.org", Site: "app.example.com", Roles: []string{"guest"}, Sent: sampleTime.Add(-time.Hour), Ends: sampleTime.Add(6 * 24 * time.Hour)},
	}
	for i, e := range []AccountEvent{
		{Name: "signed_in", Outcome: "portal", Site: "Photos", Network: "192.0.2.0/24"},
		{Name: "changed", Purpose: "account", Outcome: "changed", Operator: true},
		{Name: "changed", Purpose: "password", Outcome: "reset"},
		{Name: "mailed", Purpose: "reset", Outcome: "sent"},
		{Name: "unheard"},
	} {
		e.Time = sampleTime.Add(-time.Duration(i) * time.Hour)
		full.Events = append(full.Events, e)
	}
	return account, full
}
