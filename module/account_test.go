package module_test

import "testing"

// TestOWN4_WithheldChangesOfAnAddressEnd reads the option account as the links of a change that waits do.
func TestOWN4_WithheldChangesOfAnAddressEnd(t *testing.T) {
	for option, keeps := range map[string]bool{"": false, "account name address": false, "account name export": true} {
		app, err := provisioned(t, `{
	email_link {
		base_url https://app.example.com
		from no-reply@example.com
		mailer none
		sign_up open
		`+option+`
	}
}
app.example.com {
	email_link
	respond hello
}
`)
		if err != nil {
			t.Fatal(err)
		}
		if got := app.KeepsAddresses(); got != keeps {
			t.Errorf("%q: people keep their addresses: %v", option, got)
		}
	}
}
