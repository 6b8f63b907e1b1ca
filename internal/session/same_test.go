package session

import (
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
)

// TestSES1_WhatMakesAnAccountAnother: whatever a page, a mail or an assertion says of an account reaches the requests that are under way.
func TestSES1_WhatMakesAnAccountAnother(t *testing.T) {
	a := accounts.Account{ID: "a", Email: "ada@example.com", Name: "Ada", Roles: []string{"admin"}, Status: accounts.Active, Language: "en", Timezone: "UTC"}
	if !sameAccount(a, a) {
		t.Error("an account is not the same as itself")
	}
	for name, change := range map[string]func(a *accounts.Account){
		"id":        func(a *accounts.Account) { a.ID = "b" },
		"address":   func(a *accounts.Account) { a.Email = "eve@example.com" },
		"name":      func(a *accounts.Account) { a.Name = "Eve" },
		"roles":     func(a *accounts.Account) { a.Roles = nil },
		"status":    func(a *accounts.Account) { a.Status = accounts.Disabled },
		"language":  func(a *accounts.Account) { a.Language = "" },
		"time zone": func(a *accounts.Account) { a.Timezone = "" },
	} {
		b := a
		if change(&b); sameAccount(a, b) {
			t.Errorf("an account with another %s is the same", name)
		}
	}
}
