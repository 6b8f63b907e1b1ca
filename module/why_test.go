package module

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWHY1_AnAddressIsReadAsABrowserReadsIt: 'why' is asked with what stands in the browser's address bar.
func TestWHY1_AnAddressIsReadAsABrowserReadsIt(t *testing.T) {
	for _, one := range []struct{ text, host, refused string }{
		{"https://app.example.com/x", "app.example.com", ""},
		{"https://APP.example.com:8443/x", "app.example.com:8443", ""},
		{"https://bücher.example/x", "xn--bcher-kva.example", ""},
		{"http://BÜCHER.example:8081/x", "xn--bcher-kva.example:8081", ""},
		{"https://xn--bcher-kva.example/x", "xn--bcher-kva.example", ""},
		{"https://[::1]:8443/x", "[::1]:8443", ""},
		{"https://app.example.com/100%", "", "write %25 for a percent sign"},
		{"https://app.example.com/a%zzb", "", `holds "%zz", which is no escape`},
		{"app.example.com/x", "", "is not the address of a page"},
		{"ftp://app.example.com/x", "", "is not the address of a page"},
		{"", "", "is not the address of a page"},
	} {
		u, err := parsePageAddress(one.text)
		if one.refused != "" {
			if err == nil || !strings.Contains(err.Error(), one.refused) {
				t.Errorf("%s: %v, want %q", one.text, err, one.refused)
			}
			continue
		}
		if err != nil || strings.ToLower(u.Host) != one.host {
			t.Errorf("%s: %v %v, want the host %s", one.text, u, err, one.host)
		}
	}
}

// TestACommandWithoutCaddySaysNothingOfOtherApps: what Caddy's HTTP app logs while a configuration is read is not for a command's user.
func TestACommandWithoutCaddySaysNothingOfOtherApps(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	defer func(own *os.File) { os.Stderr = own }(os.Stderr)
	os.Stderr = file
	_, err = offline([]byte(`{"apps":{"email_link":{"mailer":{"transport":"none"}},
		"http":{"http_port":8081,"servers":{"plain":{"listen":[":8081"],"routes":[{"match":[{"host":["localhost"]}],"handle":[{"handler":"email_link","base_url":["http://localhost:8081"]}]}]}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if said, err := os.ReadFile(file.Name()); err != nil || len(said) > 0 {
		t.Errorf("standard error has %s %v", said, err)
	}
}
