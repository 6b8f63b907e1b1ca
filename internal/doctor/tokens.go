package doctor

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Token is a machine token that has neither expired nor been revoked.
type Token struct {
	ID   string
	Ends time.Time
	// Site is the origin that it is good at.
	Site   string
	Scopes []string
	// Ended is set when it is no longer valid all the same: its account is disabled or gone, or something has ended what the account had.
	Ended bool
}

const (
	// tokenWarning is how long before its end a machine token is told.
	tokenWarning = 14 * 24 * time.Hour
	// maxListed is how many tokens a finding names.
	maxListed = 5
)

// scopes finds places inside a site that let machine tokens in without a word about it.
func scopes(f Facts) []Finding {
	r, named := report{check: "scopes"}, false
	for _, s := range f.Sites {
		named = named || len(s.TokenScopes) > 0
		if len(s.InheritedScopes) == 0 {
			continue
		}
		where := "the inner email_link of " + s.title()
		if s.InsideHandle != "" {
			where = "the email_link inside 'handle " + s.InsideHandle + "' of " + s.title()
		}
		list := strings.Join(s.InheritedScopes, " ")
		r.add(Warn, where+" names no scope, so machine tokens pass there too, with the scopes of the outer one ("+list+")",
			"write 'require scope session' in the inner one to keep machine tokens out, or 'require scope "+list+" session' to let them pass")
	}
	if !named {
		return nil
	}
	return r.orOK("each email_link inside another one says whether machine tokens pass")
}

// tokens finds machine tokens that end soon, and those that open nothing.
func tokens(f Facts) []Finding {
	if len(f.Tokens) == 0 {
		return nil
	}
	r := report{check: "tokens"}
	var soon, ended, elsewhere []string
	lost := map[string][]string{} // by scope
	for _, t := range f.Tokens {
		switch {
		case t.Ended:
			ended = append(ended, t.ID)
			continue
		case !f.serves(t.Site):
			elsewhere = append(elsewhere, t.ID+" for "+t.Site)
			continue
		case t.Ends.Sub(f.Now) < tokenWarning:
			soon = append(soon, t.ID+" on "+t.Ends.UTC().Format(time.DateOnly))
		}
		for _, s := range t.Scopes {
			if !slices.Contains(f.Granted, s) {
				lost[s] = append(lost[s], t.ID)
			}
		}
	}
	r.warn(soon, "ends within 14 days", "end within 14 days",
		"make a new one with 'caddy email-link tokens create' for the program that uses it; 'tokens list' says whose it is")
	r.warn(ended, "no longer opens anything: its account was disabled or deleted, its password changed or its sessions ended",
		"no longer open anything: their accounts were disabled or deleted, their passwords changed or their sessions ended",
		"make a new one for the program that still uses it; 'caddy email-link tokens revoke <id>' removes this warning")
	r.warn(elsewhere, "is for a site that is in no base_url", "are for sites that are in no base_url", "revoke it with 'caddy email-link tokens revoke <id>'")
	for _, s := range slices.Sorted(maps.Keys(lost)) {
		words := "the scope " + s + ", which is not in the configuration, so it opens nothing"
		r.warn(lost[s], "has "+words, "have "+words, "write it into 'scopes' in the global option email_link, or revoke the token")
	}
	return r.orOK(fmt.Sprintf("%d in use, none of which ends within 14 days", len(f.Tokens)))
}

// warn adds a warning about tokens, in words for one and for several.
func (r *report) warn(list []string, one, several, fix string) {
	if len(list) == 0 {
		return
	}
	names := strings.Join(list[:min(len(list), maxListed)], ", ")
	switch n := len(list); {
	case n == 1:
		r.add(Warn, "the machine token "+names+" "+one, fix)
	case n <= maxListed:
		r.add(Warn, fmt.Sprintf("%d machine tokens (%s) %s", n, names, several), fix)
	default:
		r.add(Warn, fmt.Sprintf("%d machine tokens (%s and %d more) %s", n, names, n-maxListed, several), fix)
	}
}

// serves reports whether an origin is one of those of the sites.
func (f Facts) serves(origin string) bool {
	u, err := url.Parse(origin)
	for _, s := range f.Sites {
		for _, o := range s.Origins {
			if o.Text == origin || err == nil && o.Wildcard && Covered([]Origin{o}, u.Hostname()) {
				return true
			}
		}
	}
	return false
}
