package accounts

import (
	"slices"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// SetName changes the name. Sessions go on and carry it with their next request.
func (s *Service) SetName(tx storage.Tx, id, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return s.change(tx, id, false, func(r *storage.Account, p *private) bool {
		changed := p.Name != name
		p.Name = name
		return changed
	})
}

// SetLanguage changes the language of mails.
func (s *Service) SetLanguage(tx storage.Tx, id, language string) error {
	if err := CheckLanguage(language); err != nil {
		return err
	}
	return s.change(tx, id, false, func(r *storage.Account, p *private) bool {
		changed := p.Language != language
		p.Language = language
		return changed
	})
}

// SetTimezone changes the zone in which times are written for the account's owner.
func (s *Service) SetTimezone(tx storage.Tx, id, zone string) error {
	if err := CheckTimezone(zone); err != nil {
		return err
	}
	return s.change(tx, id, false, func(_ *storage.Account, p *private) bool {
		changed := p.Timezone != zone
		p.Timezone = zone
		return changed
	})
}

// ForgetBrowsers makes every browser that has signed in to an account until now count as new: see [Account.BrowsersForgotten].
func (s *Service) ForgetBrowsers(tx storage.Tx, id string) error {
	now := s.Clock.Now().Unix()
	return s.change(tx, id, false, func(_ *storage.Account, p *private) bool {
		changed := p.BrowsersForgotten != now
		p.BrowsersForgotten = now
		return changed
	})
}

// SetRoles changes the roles. Sessions go on and carry them with their next request.
func (s *Service) SetRoles(tx storage.Tx, id string, roles []string) error {
	if err := CheckRoles(roles); err != nil {
		return err
	}
	roles = roleSet(roles)
	return s.change(tx, id, false, func(r *storage.Account, p *private) bool {
		changed := !slices.Equal(r.Roles, roles)
		r.Roles = roles
		return changed
	})
}
