package flow

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestTOK4_AnOperatorsLinkHasABoundedLife: as long as asked for, to the edge of what may be asked for.
func TestTOK4_AnOperatorsLinkHasABoundedLife(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	link := func(ttl time.Duration) (Link, error) {
		return g.Link(context.Background(), g.site, LinkInput{Email: "ada@example.com", TTL: ttl})
	}
	for _, ttl := range []time.Duration{-1, -time.Hour, MaxLinkTTL + 1, 100 * MaxLinkTTL} {
		_, err := link(ttl)
		wantInvalid(t, err, "ttl", "too_long")
	}
	for ttl, lives := range map[time.Duration]time.Duration{0: g.site.withDefaults().lifetime(SignIn), time.Minute: time.Minute, MaxLinkTTL: MaxLinkTTL} {
		l := must[Link](t)(link(ttl))
		if got := l.Ends.Sub(g.Clock.Now()); got > lives || got < lives-time.Second {
			t.Errorf("one for %v lives for %v", ttl, got)
		}
	}
}

// TestFLOW5_AnOperatorMakesNoLinkForADisabledAccount, nor one that would sign somebody up who has an account.
func TestFLOW5_AnOperatorMakesNoLinkForADisabledAccount(t *testing.T) {
	g := newPasswordGate(t)
	g.disable(g.account("dora@example.com"))
	for purpose, want := range map[string]error{SignIn: ErrNoAccount, Reset: ErrNoAccount, Activation: ErrTaken} {
		_, err := g.Link(context.Background(), g.site, LinkInput{Email: "dora@example.com", Purpose: purpose})
		wantErr(t, err, want)
	}
}

// TestTOK8_WhatAMailCarries: each purpose under each way of signing in. A reset has no code, an activation always a link.
func TestTOK8_WhatAMailCarries(t *testing.T) {
	for methods, want := range map[Methods]string{
		{Link: true}:                             "link, link, link",
		{Code: true}:                             "link code, code, link",
		{Link: true, Code: true}:                 "link code, link code, link",
		{Password: true}:                         "link, , link",
		{Link: true, Password: true}:             "link, link, link",
		{Link: true, Code: true, Password: true}: "link code, link code, link",
		{Code: true, Password: true}:             "link code, code, link",
	} {
		var got []string
		for _, purpose := range []string{Activation, SignIn, Reset} {
			words := []string{}
			if (Site{Methods: methods}).mailsLink(purpose) {
				words = append(words, "link")
			}
			if (Site{Methods: methods}).mailsCode(purpose) {
				words = append(words, "code")
			}
			got = append(got, strings.Join(words, " "))
		}
		if have := strings.Join(got, ", "); have != want {
			t.Errorf("%+v: %s, want %s", methods, have, want)
		}
	}
}
