package command

import (
	"net"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
)

// TestServe_APortAloneIsThisMachines: reverse_proxy would take 3000 for a host.
func TestServe_APortAloneIsThisMachines(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"3000": "localhost:3000", "localhost:3000": "localhost:3000", ":3000": ":3000", "http://app:3000": "http://app:3000",
	} {
		text, err := serveInput{to: to}.caddyfile()
		if err != nil || !strings.Contains(text, "\treverse_proxy "+want+"\n") {
			t.Errorf("--to %s: %v\n%s", to, err, text)
		}
	}
	if _, err := (serveInput{to: "70000"}).caddyfile(); err == nil || !strings.Contains(err.Error(), "--to localhost:3000") {
		t.Errorf("--to 70000: %v", err)
	}
}

// TestServe_ItsHintsNameTheAdminAddress: as printed, the commands have to reach the Caddy that serves.
func TestServe_ItsHintsNameTheAdminAddress(t *testing.T) {
	t.Parallel()
	for _, trial := range []bool{true, false} {
		for admin, want := range map[string]string{"": "", "localhost:12019": " --address localhost:12019"} {
			for line := range strings.Lines(serveInput{admin: admin}.notice("https://app.example.com", trial)) {
				command := strings.Contains(line, "caddy email-link ")
				if command && (!strings.HasSuffix(line, want+"\n") || strings.Contains(line, "--address") != (want != "")) {
					t.Errorf("--admin %q: %q", admin, line)
				}
			}
		}
	}
}

// TestServe_ATakenAdminAddressIsRefused listens as another Caddy would.
func TestServe_ATakenAdminAddressIsRefused(t *testing.T) {
	t.Parallel()
	port, err := freeport.Next()
	if err != nil {
		t.Fatal(err)
	}
	in := serveInput{admin: "localhost:" + port}
	if err := in.checkAdmin(t.Context()); err != nil {
		t.Errorf("a free port: %v", err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := in.checkAdmin(t.Context()); err == nil || !strings.Contains(err.Error(), "localhost:"+port+" is taken") ||
		!strings.Contains(err.Error(), "--admin localhost:") {
		t.Errorf("a taken port: %v", err)
	}
	for _, other := range []string{"off", "unix//run/caddy.sock", "192.0.2.1:" + port} {
		if err := (serveInput{admin: other}).checkAdmin(t.Context()); err != nil {
			t.Errorf("%s: %v", other, err)
		}
	}
}
