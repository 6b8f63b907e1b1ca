package command

import (
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
)

func TestFindingsDoNotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	err := printFindings(&b, []doctor.Finding{
		{Check: "smtp", Result: doctor.Fail, Text: "the certificate is for \x1b[2Jevil\u202e\u009b", Fix: "add:\n\ttls {\n\t}"},
		{Check: "trusted_proxies", Result: doctor.OK, Text: "none"},
	})
	want := "fail  smtp             the certificate is for \uFFFD[2Jevil\uFFFD\uFFFD\n" +
		"                       add:\n                       \ttls {\n                       \t}\n" +
		"ok    trusted_proxies  none\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%q\n%q", err, b.String(), want)
	}
}

func TestWhichFilesAreCaddyfiles(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"Caddyfile": true, "/etc/caddy/Caddyfile": true, "caddyfile.prod": true, "my.caddyfile": true, "Caddyfile.json": false,
		"caddy.json": false, "config": false, "-": false,
	} {
		if got := looksLikeCaddyfile(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
