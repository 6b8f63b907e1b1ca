package templates

import (
	"slices"
	"strings"
	"time"
)

// PageSample is one state of one page, for the preview and for the trial at load.
type PageSample struct {
	// Name is short, unique and made of lower-case letters, digits and hyphens.
	Name   string
	Status int
	Frame  Frame
	Facts  PageFacts
}

// sampleTime is the time at which all samples happen.
var sampleTime = time.Date(2026, time.November, 21, 14, 3, 17, 0, time.UTC)

const sampleLink = "https://app.example.com/email-link/link?t=AGkxQmF3b3JkaW5nIGFsb3VkIG9uY2UsIGFzIGEgcGVyc29u"

const sampleChallenge = "/email-link/altcha?for=sign-in"

// sampleFrame is the frame of the samples, bareFrame that of a site without a contact.
var (
	sampleFrame = Frame{
		Site: "Example", Host: "app.example.com", Origin: "https://app.example.com", Prefix: "/email-link",
		Contact: "help@example.com", Now: sampleTime, Here: "/email-link/sign-in",
	}
	bareFrame = Frame{
		Site: "Example", Host: "app.example.com", Origin: "https://app.example.com", Prefix: "/email-link", Now: sampleTime,
	}
)

// PageSamples lists every state of every page.
func PageSamples() []PageSample {
	return slices.Concat(signInSamples(), formSamples(), resendSamples(), confirmSamples(), homeSamples(), invitingSamples(), addressSamples(), longSamples(), refusedSamples())
}

// signInSamples lists the states of the page to sign in.
func signInSamples() []PageSample {
	return []PageSample{
		{"sign-in", 200, sampleFrame, SignIn{SignUp: true}},
		{"sign-in-closed", 200, bareFrame, SignIn{ReturnTo: "/reports"}},
		{"sign-in-app", 200, sampleFrame, SignIn{ReturnTo: "/email-link/open?r=c2FtcGxl", App: "Photos"}},
		{"sign-in-again", 200, sampleFrame, SignIn{ReturnTo: "/accounting", Again: true}},
		{"sign-in-refused", 400, sampleFrame, SignIn{Email: "jo@example", SignUp: true, Problem: Problem{Code: InvalidEmail}}},
		{"sign-in-invisible", 400, sampleFrame, SignIn{Email: "jo\u200b@example.com", Problem: Problem{Code: InvalidEmail, Character: 0x200b, Position: 3}}},
		{"sign-in-lookalike", 400, sampleFrame, SignIn{Email: "jo\uff20example.com", Problem: Problem{Code: InvalidEmail, Character: 0xff20, Position: 3}}},
		{"sign-in-space", 400, sampleFrame, SignIn{Email: "jo @example.com", Problem: Problem{Code: InvalidEmail, Character: ' ', Position: 3}}},
		{"sign-in-limited", 429, sampleFrame, SignIn{
			Email: "jo@example.com", SignUp: true, ReturnTo: "/a?b=c",
			Problem: Problem{Code: Limited, Wait: 37 * time.Minute},
		}},
		{"sign-in-limited-address", 429, sampleFrame, SignIn{
			Email: "jo@example.com", Problem: Problem{Code: Limited, Wait: 9 * time.Hour, Address: true, Reserve: true, Challenge: sampleChallenge},
		}},
		{"sign-in-no-mail", 200, sampleFrame, SignIn{MailOff: true}},
		{"sign-in-password", 200, sampleFrame, SignIn{SignUp: true, Password: true, Mail: true, ReturnTo: "/reports"}},
		{"sign-in-code-only", 200, sampleFrame, SignIn{CodeOnly: true}},
		{"sign-in-password-code", 200, sampleFrame, SignIn{Password: true, Mail: true, CodeOnly: true}},
		{"sign-in-password-only", 200, sampleFrame, SignIn{Password: true, PasswordSet: true}},
		{"sign-in-password-refused", 403, sampleFrame, SignIn{
			Email: "jo@example.com", SignUp: true, Password: true, Mail: true, Problem: Problem{Code: WrongPassword},
		}},
		{"sign-in-password-missing", 400, sampleFrame, SignIn{
			Email: "jo@example.com", Password: true, Mail: true, Problem: Problem{Code: MissingPassword},
		}},
		{"sign-in-password-limited", 429, sampleFrame, SignIn{
			Email: "jo@example.com", Password: true, Mail: true, Problem: Problem{Code: PasswordLimited, Wait: 37 * time.Minute},
		}},
		{"sign-in-password-limited-address", 429, sampleFrame, SignIn{
			Email: "jo@example.com", Password: true, Mail: true,
			Problem: Problem{Code: PasswordLimited, Wait: 37 * time.Minute, Address: true, Mail: true, Challenge: sampleChallenge},
		}},
		{"sign-in-password-disabled", 403, sampleFrame, SignIn{
			Email: "jo@example.com", Password: true, Mail: true, Problem: Problem{Code: AccountDisabled},
		}},
		{"sign-in-password-busy", 503, sampleFrame, SignIn{
			Email: "jo@example.com", Password: true, Mail: true, Problem: Problem{Code: Busy, Wait: 4 * time.Second},
		}},
		{"sign-in-password-no-mail", 200, sampleFrame, SignIn{MailOff: true, Password: true}},
	}
}

// formSamples lists the states of the other forms that ask for an address or a password.
func formSamples() []PageSample {
	return []PageSample{
		{"reset", 200, sampleFrame, Reset{}},
		{"reset-refused", 400, sampleFrame, Reset{Email: "jo@example", Problem: Problem{Code: InvalidEmail}}},
		{"reset-no-mail", 200, sampleFrame, Reset{MailOff: true}},
		{"password", 200, sampleFrame, Password{Email: "jo@example.com", MinLength: 12}},
		{"password-wrong", 403, sampleFrame, Password{Email: "jo@example.com", MinLength: 12, Problem: Problem{Code: WrongCurrent}}},
		{"password-reused", 400, sampleFrame, Password{Email: "jo@example.com", MinLength: 12, Problem: Problem{Code: PasswordReused}}},
		{"password-none", 200, sampleFrame, Password{Email: "jo@example.com", None: true, MinLength: 12}},
		{"password-none-no-mail", 200, sampleFrame, Password{Email: "jo@example.com", None: true, MailOff: true, MinLength: 12}},
		{"sign-up", 200, sampleFrame, SignUp{ReturnTo: "/reports"}},
		{"sign-up-refused", 400, sampleFrame, SignUp{Problem: Problem{Code: MissingEmail}}},
		{"sign-up-closed", 403, sampleFrame, SignUp{Closed: true}},
		{"sign-up-no-mail", 200, sampleFrame, SignUp{MailOff: true}},
	}
}

// resendSamples lists the states of the page that waits for a mail.
func resendSamples() []PageSample {
	resend := Resend{
		Address: "jo@example.com", ResendsLeft: 5, ResendsTotal: 5, NextResend: sampleTime.Add(43 * time.Second),
		End: sampleTime.Add(15 * time.Minute), Code: true, Link: true,
	}
	with := func(change func(*Resend)) Resend { r := resend; change(&r); return r }
	return []PageSample{
		{"resend", 200, sampleFrame, resend},
		{"resend-sign-up", 200, sampleFrame, with(func(r *Resend) { r.SignUp = true; r.End = sampleTime.Add(24 * time.Hour) })},
		{"resend-reset", 200, sampleFrame, with(func(r *Resend) {
			r.Reset, r.Code, r.End = true, false, sampleTime.Add(30*time.Minute)
		})},
		{"resend-app", 200, sampleFrame, with(func(r *Resend) { r.Reset, r.Code, r.App, r.Form = true, false, true, "/forgot" })},
		{"resend-reserve", 200, sampleFrame, with(func(r *Resend) { r.Reserve = true })},
		{"resend-again", 200, sampleFrame, with(func(r *Resend) { r.ResendsLeft, r.Sent = 3, true })},
		{"resend-opened", 200, sampleFrame, with(func(r *Resend) { r.Opened, r.ReturnTo = true, "/reports" })},
		{"resend-opened-link-only", 200, sampleFrame, with(func(r *Resend) { r.Opened, r.Code = true, false })},
		{"resend-opened-signed-in", 200, sampleFrame, with(func(r *Resend) { r.Opened, r.SignedIn = true, true })},
		{"resend-now", 200, sampleFrame, with(func(r *Resend) { r.ResendsLeft = 1; r.NextResend = sampleTime })},
		{"resend-last", 200, sampleFrame, with(func(r *Resend) { r.ResendsLeft = 1; r.NextResend = sampleTime.Add(time.Second) })},
		{"resend-spent", 200, sampleFrame, with(func(r *Resend) { r.ResendsLeft = 0 })},
		{"resend-too-early", 429, sampleFrame, with(func(r *Resend) {
			r.Problem = Problem{Code: TooEarly, Wait: 43 * time.Second}
		})},
		{"resend-spent-refused", 429, bareFrame, with(func(r *Resend) { r.ResendsLeft, r.Problem = 0, Problem{Code: ResendsSpent} })},
		{"code-refused", 403, sampleFrame, with(func(r *Resend) { r.Problem = Problem{Code: WrongCode} })},
		{"code-malformed", 400, sampleFrame, with(func(r *Resend) { r.Problem, r.TypedCode = Problem{Code: MalformedCode}, "1234 567" })},
		{"code-off", 403, sampleFrame, with(func(r *Resend) { r.Code, r.CodesOff, r.Problem = false, true, Problem{Code: CodesOff} })},
		{"resend-codes-off", 200, sampleFrame, with(func(r *Resend) { r.Code, r.CodesOff = false, true })},
		{"resend-code-only", 200, sampleFrame, with(func(r *Resend) { r.Link = false })},
		{"resend-code-only-off", 200, sampleFrame, with(func(r *Resend) { r.Code, r.CodesOff, r.Link = false, true, false })},
		{"resend-link-only", 200, sampleFrame, with(func(r *Resend) { r.Code = false })},
		{"no-flow", 200, sampleFrame, NoFlowPage{}},
	}
}

// confirmSamples lists what a mailed link opens.
func confirmSamples() []PageSample {
	confirm := Confirm{
		Token: "c2FtcGxl", Account: "jo@example.com", Asked: sampleTime.Add(-2 * time.Minute), Device: "Safari on iPhone",
		SameBrowser: true, Code: true,
	}
	other := confirm
	other.SameBrowser, other.Account, other.ReturnTo = false, "j•••@example.com", "/reports/2026?page=2"
	otherUp := other
	otherUp.SignUp, otherUp.AskName, otherUp.ReturnTo = true, true, ""
	signedIn := other
	signedIn.SignedInAs, signedIn.ReturnTo = "sam@example.com", ""
	noCode := other
	noCode.Code, noCode.Device = false, "a browser"
	up := confirm
	up.SignUp, up.AskName = true, true
	upBad := up
	upBad.Name, upBad.Problem = "A\u202eB", Problem{Code: InvalidName}
	changed := confirm
	changed.Problem = Problem{Code: Changed}
	cancel := ConfirmCancel{
		Mute:  time.Hour,
		Token: "c2FtcGxl", Account: "j•••@example.com", Asked: confirm.Asked, Device: confirm.Device,
	}
	cancelDevice := cancel
	cancelDevice.NewDevice = true
	cancelProof := cancel
	cancelProof.Proof = true
	first := up
	first.AskPassword, first.MinLength, first.Username = true, 12, "jo@example.com"
	reset := confirm
	reset.Reset, reset.Code, reset.AskPassword, reset.MinLength, reset.Username = true, false, true, 12, "jo@example.com"
	resetOther := reset
	resetOther.SameBrowser, resetOther.Account, resetOther.Username = false, "j•••@example.com", ""
	appReset := resetOther
	appReset.App, appReset.AskPassword, appReset.ReturnTo = true, false, "/password/new"
	invite := confirm
	invite.SameBrowser, invite.Code, invite.Device, invite.Account, invite.AskName = false, false, "", "j•••@example.com", true
	invite.Invite = &Invitation{Inviter: "sam@example.com", Site: "Photos", Roles: "family, guest"}
	inviteOperator := invite
	inviteOperator.Invite = &Invitation{Site: "Photos", Roles: "guest", Note: "For the trip in May", Account: true}
	inviteOperator.AskName = false
	inviteSignIn := inviteOperator
	inviteSignIn.SignIn, inviteSignIn.SignedInAs = true, "sam@example.com"
	refused := func(c Code) Confirm { r := reset; r.Problem = Problem{Code: c, Min: 12}; return r }
	return []PageSample{
		{"confirm", 200, sampleFrame, confirm},
		{"confirm-portal", 200, sampleFrame, Confirm{Token: "h", Account: "a•••@example.com", SameBrowser: true, Portal: true}},
		{"confirm-other-browser", 200, sampleFrame, other},
		{"confirm-other-no-code", 200, sampleFrame, noCode},
		{"confirm-other-account", 200, sampleFrame, signedIn},
		{"confirm-changed", 409, sampleFrame, changed},
		{"confirm-sign-up", 200, sampleFrame, up},
		{"confirm-sign-up-name", 400, sampleFrame, upBad},
		{"confirm-sign-up-other", 200, sampleFrame, otherUp},
		{"confirm-sign-up-password", 200, sampleFrame, first},
		{"confirm-invite", 200, sampleFrame, invite},
		{"confirm-invite-account", 200, sampleFrame, inviteOperator},
		{"confirm-invite-sign-in", 200, sampleFrame, inviteSignIn},
		{"confirm-reset", 200, sampleFrame, reset},
		{"confirm-reset-other", 200, sampleFrame, resetOther},
		{"confirm-reset-app", 200, sampleFrame, appReset},
		{"confirm-reset-short", 400, sampleFrame, refused(PasswordTooShort)},
		{"confirm-reset-common", 400, sampleFrame, refused(PasswordTooCommon)},
		{"confirm-reset-same", 400, sampleFrame, refused(PasswordSameAsCurrent)},
		{"confirm-cancel", 200, sampleFrame, cancel},
		{"confirm-cancel-proof", 200, sampleFrame, cancelProof},
		{"confirm-cancel-device", 200, sampleFrame, cancelDevice},
		{"confirm-undo", 200, sampleFrame, ConfirmUndo{Token: "c2FtcGxl", Account: "j•••@example.com", Ends: sampleTime.Add(50 * time.Hour)}},
		{"kept", 200, sampleFrame, Cancelled{Undone: true}},
		{"cancelled-device", 200, sampleFrame, Cancelled{NewDevice: true}},
		{"cancelled-proof", 200, sampleFrame, Cancelled{SignedOut: true}},
		{"confirm-none", 200, sampleFrame, ConfirmNone{}},
		{"confirm-none-signed-in", 200, sampleFrame, ConfirmNone{SignedInAs: "jo@example.com"}},
		{"confirm-none-code", 200, sampleFrame, ConfirmNone{Flow: true}},
		{"confirm-none-portal", 200, sampleFrame, ConfirmNone{Portal: true}},
		{"cancelled", 200, sampleFrame, Cancelled{}},
		{"dead", 410, sampleFrame, Dead{}},
		{"dead-reset", 410, sampleFrame, Dead{Reset: true}},
		{"incomplete", 410, sampleFrame, Incomplete{Code: true}},
		{"incomplete-code", 410, sampleFrame, Incomplete{Flow: true, Code: true}},
		{"incomplete-cancel", 410, sampleFrame, Incomplete{}},
	}
}

// homeSamples lists the pages of a browser that is signed in, and of one that has signed out.
func homeSamples() []PageSample {
	home := Home{
		Email: "jo@example.com", Name: "Jo Doe", Roles: []string{"admin", "staff"}, Since: sampleTime.Add(-26 * time.Hour),
		Ends: sampleTime.Add(29 * 24 * time.Hour), Device: "Firefox on Linux", Methods: []string{"link"},
	}
	withPassword := home
	withPassword.Password, withPassword.PasswordSet, withPassword.Methods = true, true, []string{"pwd"}
	portal := home
	portal.Portal, portal.Several = true, true
	launcher := portal
	launcher.Apps = []App{{Name: "Photos", Address: "https://photos.example.org", Logo: "/email-link/assets/logo.svg"}, {Name: "Files", Address: "https://files.example.com"}}
	account, full := accountSamples()
	badName := account
	badName.TypedName, badName.Problem = "A\u202eB", Problem{Code: InvalidName}
	badZone := account
	badZone.Timezone, badZone.OtherTimezone, badZone.Problem = "Mars/Olympus", "Mars/Olympus", Problem{Code: InvalidTimezone}
	zoned := sampleFrame
	zoned.Timezone = time.FixedZone("", 5*3600+45*60)
	wrongPassword := full
	wrongPassword.Current, wrongPassword.Done, wrongPassword.Problem = true, "", Problem{Code: WrongCurrent}
	prove := Prove{Act: "export", Address: "jo@example.com", End: sampleTime.Add(15 * time.Minute)}
	made := NewToken{Name: "Calendar", Site: "app.example.com", Scopes: []string{"calendar", "files"}, Lifetime: 30 * 24 * time.Hour}
	form := TokenForm{Email: "jo@example.com", Days: 30, MaxDays: 90, Scopes: []CheckBox{{"calendar", false}, {"files", false}}}
	refusedForm := form
	refusedForm.Current, refusedForm.Name, refusedForm.Problem = true, "Phone", Problem{Code: InvalidScope}
	refusedForm.Sites = []SiteChoice{{"https://photos.example.org", "Photos", true}, {"https://files.example.com", "Files", false}}
	deletion := Delete{Email: "jo@example.com", Grace: 72 * time.Hour}
	lastDeletion := deletion
	lastDeletion.Current, lastDeletion.LastRoles, lastDeletion.Typed, lastDeletion.Problem = true, []string{"admin", "staff"}, "jo@example.org", Problem{Code: OtherAddress}
	proveWrong, proveOff := prove, prove
	proveWrong.Problem, proveOff.Problem, proveOff.CodesOff = Problem{Code: WrongCode}, Problem{Code: CodesOff}, true
	return []PageSample{
		{"home-launcher", 200, sampleFrame, launcher},
		{"home-launcher-empty", 200, sampleFrame, portal},
		{"sign-out-several", 200, sampleFrame, SignOut{SignedIn: true, Email: "jo@example.com", Several: true}},
		{"home", 200, sampleFrame, home},
		{"home-password", 200, sampleFrame, withPassword},
		{"home-plain", 200, bareFrame, Home{Email: home.Email, Since: home.Since, Ends: home.Ends}},
		{"account", 200, sampleFrame, account},
		{"account-timezone", 200, zoned, full},
		{"account-timezone-refused", 400, sampleFrame, badZone},
		{"account-full", 200, sampleFrame, full},
		{"account-name", 400, sampleFrame, badName},
		{"account-current", 403, sampleFrame, wrongPassword},
		{"token", 200, sampleFrame, form},
		{"token-refused", 400, sampleFrame, refusedForm},
		{"token-made", 200, sampleFrame, TokenMade{Text: "elt_" + strings.Repeat("c2FtcGxl", 40), Token: made, Ends: sampleTime.Add(made.Lifetime)}},
		{"prove-token", 200, sampleFrame, Prove{Act: "token", Token: &made, Address: prove.Address, End: prove.End}},
		{"delete", 200, sampleFrame, deletion},
		{"delete-last", 400, sampleFrame, lastDeletion},
		{"deleted", 200, sampleFrame, Deleted{Grace: 72 * time.Hour}},
		{"prove-delete", 200, sampleFrame, Prove{Act: "delete", Address: prove.Address, End: prove.End}},
		{"prove", 200, sampleFrame, prove},
		{"prove-refused", 403, sampleFrame, proveWrong},
		{"prove-address", 200, sampleFrame, Prove{Act: "address", New: "jo@new.example.com", Address: "jo@example.com", End: prove.End}},
		{"prove-off", 403, sampleFrame, proveOff},
		{"sign-out", 200, sampleFrame, SignOut{SignedIn: true, Email: "jo@example.com"}},
		{"signed-out", 200, sampleFrame, SignOut{}},
	}
}

// addressSamples lists the pages of a change of the address.
func addressSamples() []PageSample {
	account, _ := accountSamples()
	account.Current = true
	with := func(a AccountAddress, p Problem) Account { b := account; b.Address, b.Problem = a, p; return b }
	change := AddressChange{Address: "jo@new.example.com", Code: true, End: sampleTime.Add(24 * time.Hour)}
	half, other := change, change
	half.Present, other.New = true, true
	confirm := ConfirmAddress{
		Token: "c2FtcGxl", Kind: "address", Address: "jo@new.example.com", Asked: sampleTime.Add(-2 * time.Minute), Device: "Safari on iPhone",
	}
	consent := confirm
	consent.Kind, consent.Address, consent.New = "consent", "jo@example.com", "jo@new.example.com"
	back := confirm
	back.Kind, back.Address = "back", "jo@example.com"
	changed := back
	changed.Problem = Problem{Code: Changed}
	samples := []PageSample{
		{"account-address", 200, sampleFrame, with(AccountAddress{Form: true}, Problem{})},
		{"account-address-operator", 200, sampleFrame, with(AccountAddress{Operator: true}, Problem{})},
		{"account-address-refused", 403, sampleFrame, with(AccountAddress{Form: true, Typed: "jo@new.example.com", Refused: true}, Problem{Code: AddressNotAdmitted})},
		{"account-address-same", 400, sampleFrame, with(AccountAddress{Form: true, Typed: "jo@example.com", Refused: true}, Problem{Code: SameAddress})},
		{"account-address-current", 403, sampleFrame, with(AccountAddress{Form: true, Typed: "jo@new.example.com", Refused: true}, Problem{Code: WrongCurrent})},
		{"account-address-none", 200, sampleFrame, with(AccountAddress{Form: true, Change: &change}, Problem{})},
		{"account-address-half", 200, sampleFrame, with(AccountAddress{Form: true, Change: &half}, Problem{})},
		{"account-address-other", 200, sampleFrame, with(AccountAddress{Form: true, Change: &other}, Problem{})},
		{"account-address-code", 403, sampleFrame, with(AccountAddress{Form: true, Change: &half}, Problem{Code: WrongCode})},
		{"confirm-address", 200, sampleFrame, confirm},
		{"confirm-address-consent", 200, sampleFrame, consent},
		{"confirm-address-back", 200, sampleFrame, back},
		{"confirm-address-changed", 409, sampleFrame, changed},
	}
	for _, what := range []string{"new", "old", "changed", "restored"} {
		samples = append(samples, PageSample{"address-done-" + what, 200, sampleFrame, AddressDone{what}})
	}
	for _, done := range []string{"stopped", "changed"} {
		a := with(AccountAddress{Form: true}, Problem{})
		a.Done = done
		samples = append(samples, PageSample{"account-address-" + done, 200, sampleFrame, a})
	}
	return samples
}

// refusedSamples lists the errors.
func refusedSamples() []PageSample {
	var samples []PageSample
	signIn := []NextStep{{StepSignIn, "/email-link/sign-in"}}
	retry := func(address string) []NextStep { return []NextStep{{StepRetry, address}} }
	for _, r := range []Refused{
		{Status: 400, Problem: Problem{Code: BadRequest}, NextSteps: signIn},
		{Status: 400, Problem: Problem{Code: BadForm}, NextSteps: signIn},
		{Status: 401, Problem: Problem{Code: SignInRequired}, NextSteps: signIn},
		{Status: 403, Problem: Problem{Code: Forbidden}, Email: "jo@example.com", NextSteps: []NextStep{
			{StepOtherAddress, "/email-link/sign-in?other=1&return_to=%2Freports"}, {StepAccount, "/email-link/"},
		}},
		{Status: 403, Problem: Problem{Code: CrossOrigin}, NextSteps: signIn},
		{Status: 403, Problem: Problem{Code: UpgradeOrigin}, NextSteps: signIn},
		{Status: 404, Problem: Problem{Code: NotFound}, NextSteps: signIn},
		{Status: 405, Problem: Problem{Code: MethodNotAllowed}, NextSteps: []NextStep{{StepSite, "/"}}},
		{Status: 413, Problem: Problem{Code: TooLarge}, NextSteps: []NextStep{{StepSite, "/"}}},
		{Status: 421, Problem: Problem{Code: Misdirected}, NextSteps: []NextStep{{StepHost, "https://app.example.com"}}},
		{Status: 429, Problem: Problem{Code: Limited, Wait: 42 * time.Minute}, NextSteps: retry("/email-link/sign-in")},
		{Status: 500, Problem: Problem{Code: Internal}, NextSteps: retry("/reports")},
		{Status: 503, Problem: Problem{Code: Unavailable}, NextSteps: retry("/reports")},
		{Status: 503, Problem: Problem{Code: Busy, Wait: 4 * time.Second}, NextSteps: retry("/email-link/sign-in")},
	} {
		name := "error-" + string(r.Code)
		samples = append(samples, PageSample{strings.ReplaceAll(name, "_", "-"), r.Status, sampleFrame, r})
	}
	samples = append(samples,
		PageSample{"error-framed", 401, sampleFrame, Refused{Status: 401, Problem: Problem{Code: SignInRequired}, NextSteps: []NextStep{{StepWindow, "/reports"}}}},
		PageSample{"error-forbidden-app", 403, sampleFrame, Refused{Status: 403, Problem: Problem{Code: Forbidden}, Email: "jo@example.com", App: "Photos", NextSteps: []NextStep{
			{StepOtherAddress, "/email-link/sign-in?other=1"}, {StepAccount, "/email-link/"},
		}}},
		PageSample{"error-not-found-signed-in", 404, sampleFrame, Refused{Status: 404, Problem: Problem{Code: NotFound}, NextSteps: []NextStep{
			{StepAccount, "/email-link/"}, {StepSite, "/"},
		}}})
	return samples
}
