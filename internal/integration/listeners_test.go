package integration

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// replace loads a configuration and waits until nothing of the others listens any more, whether it was taken or not. Caddy
// opens the port once more for each configuration and closes the old socket in a goroutine of its own: until then the system
// gives some new connections to the old one, and those that wait there when it is closed are cut.
func (w *world) replace(config []byte) error {
	w.t.Helper()
	err := caddy.Load(config, true)
	for end := time.Now().Add(20 * time.Second); listeners(w.port) > 1; time.Sleep(time.Millisecond) { // polling the system
		if time.Now().After(end) {
			w.t.Fatal("the listener of an old configuration stays open")
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
