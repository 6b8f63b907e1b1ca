package web

import (
	"slices"
	"sync"

	"github.com/caddy-email-link/caddy-email-link/internal/timezone"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// mailLanguage returns the language that the form has chosen already: the account's, or that of the page where it has none.
func (x *exchange) mailLanguage(own string) string {
	if own == "" {
		return x.language
	}
	return x.Templates.Language(own)
}

// setMailLanguage changes the language of the account's mails.
func (x *exchange) setMailLanguage() {
	fields, ok := x.readAccountForm("", "language")
	if !ok {
		return
	}
	if !slices.Contains(x.Templates.Languages(), fields["language"]) {
		x.refuseForm(errForm)
		return
	}
	x.accountDone(x.Self.SetLanguage(x.r.Context(), x.Live, fields["language"], x.actor()), accountLanguage, "")
}

// timezoneRegions are the time zones to choose from.
var timezoneRegions = sync.OnceValue(func() (list []templates.TimezoneRegion) {
	for _, r := range timezone.Regions() {
		region := templates.TimezoneRegion{Name: r.Name}
		for _, z := range r.Zones {
			region.Zones = append(region.Zones, templates.Timezone(z))
		}
		list = append(list, region)
	}
	return list
})

// setTimezone changes the zone of all times that are written for the account's owner.
func (x *exchange) setTimezone() {
	if fields, ok := x.readAccountForm("", "timezone"); ok {
		x.accountDone(x.Self.SetTimezone(x.r.Context(), x.Live, fields["timezone"], x.actor()), accountTimezone, "")
	}
}
