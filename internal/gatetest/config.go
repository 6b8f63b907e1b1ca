package gatetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile" // the adapter of Caddyfiles
)

// Config is a Caddyfile in parts. Parts that are empty are left out, and with all of the gate the global option email_link.
type Config struct {
	// Admin is the address of the admin endpoint; empty switches it off.
	Admin string
	// Options are further global options, one a line.
	Options string
	// BaseURL, Storage, Secret and Mailer are arguments of the subdirectives of these names in the global option email_link.
	BaseURL, Storage, Secret, Mailer string
	// Gate are its further lines.
	Gate string
	// Sites are the blocks of the sites.
	Sites string
}

// String returns the Caddyfile.
func (c Config) String() string {
	var gate strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&gate, "\t\t%s %s\n", name, value)
		}
	}
	line("base_url", c.BaseURL)
	line("storage", c.Storage)
	line("secret", c.Secret)
	line("mailer", c.Mailer)
	if c.Mailer != "" && c.Mailer != "none" {
		line("from", `"Example <no-reply@example.com>"`)
	}
	if c.Gate != "" {
		fmt.Fprintf(&gate, "\t\t%s\n", c.Gate)
	}
	if c.Admin == "" {
		c.Admin = "off"
	}
	text := "{\n\tadmin " + c.Admin + "\n"
	if c.Options != "" {
		text += "\t" + c.Options + "\n"
	}
	if gate.Len() > 0 {
		text += "\temail_link {\n" + gate.String() + "\t}\n"
	}
	return text + "}\n\n" + c.Sites
}

// Adapt returns the JSON of a Caddyfile.
func Adapt(caddyfile string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return config, err
}

// Load loads a configuration in this process, returns why it was not taken, and waits until nothing of the others listens on its port any more, whether it was taken or
// not. Caddy opens the port once more for each configuration and closes the old socket in a goroutine of its own: until then the system
// gives some new connections to the old one, and those that wait there when it is closed are cut.
func Load(t testing.TB, config []byte, port string) error {
	t.Helper()
	err := caddy.Load(config, true)
	for end := time.Now().Add(Patience); listeners(port) > 1; time.Sleep(time.Millisecond) { // polling the system
		if time.Now().After(end) {
			t.Fatal("the listener of an old configuration stays open")
		}
	}
	return err
}

// listeners returns how many sockets listen on a port; 0 where the system does not tell.
func listeners(port string) (n int) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0
	}
	local := ":" + strings.ToUpper(strconv.FormatUint(1<<16|number, 16)[1:])
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, _ := os.ReadFile(table) // other systems have none
		for line := range strings.Lines(string(text)) {
			// The columns are: number, local address, remote address, state; 0A listens.
			if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], local) && f[3] == "0A" {
				n++
			}
		}
	}
	return n
}

// Reload loads a configuration over the admin endpoint of a process, as `caddy reload --force` does.
func Reload(admin string, config []byte) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+admin+"/load", bytes.NewReader(config))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Cache-Control", "must-revalidate") // although nothing may have changed
	r.Close = true                                   // the next load finds another server there, which knows no old connection
	res, err := (&http.Client{Timeout: Patience}).Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d: %s", res.StatusCode, text)
	}
	return err
}
