package adminapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
)

// serve answers at an address of this machine, and returns a client of it.
func serve(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := Connect(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refusing are operations that refuse in one way whatever they are asked for.
type refusing struct {
	operator.Operations
	err error
}

func (r refusing) DeleteAccount(context.Context, string) (operator.ChangedAccount, error) {
	return operator.ChangedAccount{}, r.err
}

// TestRefusals_ArriveAsTheyAre sends each kind of refusal through the endpoint, with the words for the operator: what failed is told from
// what was refused, and has no words.
func TestRefusals_ArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	behind, status := refusing{}, 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := Serve(behind, w, r); err != nil { // as Caddy's admin endpoint words it
			status = Status(err)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"error":%q}`, err.Error())
		}
	})
	for kind, want := range map[operator.Kind]int{
		operator.Invalid: 400, operator.Forbidden: 403, operator.NotFound: 404, operator.Conflict: 409, operator.TooLarge: 413,
		operator.MailRefused: 502, operator.Unavailable: 503,
	} {
		behind.err = &operator.Error{Kind: kind, Message: "write something else"}
		var e *operator.Error
		if _, err := c.DeleteAccount(t.Context(), "ada@example.com"); !errors.As(err, &e) || e.Kind != kind || e.Message != "write something else" || status != want {
			t.Errorf("a refusal of the kind %d: %#v, %d", kind, err, status)
		}
	}
	behind.err = errors.New("the disk is full")
	if _, err := c.DeleteAccount(t.Context(), "ada@example.com"); err == nil || errors.As(err, new(*operator.Error)) || status != http.StatusInternalServerError {
		t.Errorf("a failure: %#v, %d", err, status)
	}
	behind.err = ErrNotRunning
	if _, err := c.DeleteAccount(t.Context(), "ada@example.com"); !errors.Is(err, ErrNotRunning) || status != http.StatusNotFound {
		t.Errorf("a Caddy without a gate: %#v, %d", err, status)
	}
}

// TestConnect_SaysWhereItComesFrom: Caddy's admin endpoint checks Origin where it is told to, and takes none on a socket.
func TestConnect_SaysWhereItComesFrom(t *testing.T) {
	t.Parallel()
	var origins, hosts []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origins, hosts = append(origins, strings.Join(r.Header["Origin"], "|")), append(hosts, r.Host)
		_, _ = io.WriteString(w, `{}`)
	})
	c := serve(t, handler)
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	socket, err := Connect(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []*Client{c, socket} {
		if _, err := one.BackupInfo(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if origins[0] != "http://"+hosts[0] || origins[1] != "" || hosts[1] != "127.0.0.1" {
		t.Errorf("Origin %q, Host %q", origins, hosts)
	}
}

// TestDUR1_AnExportThatEndsEarlyIsNotWhole: whatever the answer ends with, unless that is the number of its lines.
func TestDUR1_AnExportThatEndsEarlyIsNotWhole(t *testing.T) {
	t.Parallel()
	const line = `{"account":{"email":"a@example.com","verified":true}}` + "\n"
	for rest, whole := range map[string]bool{
		"": false, `{"count":2}`: false, `{"count":0}`: false, `{"error":"the database failed"}`: false, `{`: false, `{}`: false, `{"count":1}`: true,
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, line+rest) })
		n := 0
		err := c.Export(t.Context(), true, func(transfer.Row) error { n++; return nil })
		if (err == nil) != whole || n != 1 {
			t.Errorf("%q: %d accounts, %v", rest, n, err)
		}
	}
}

// counted is a body without an end that counts what is read of it.
type counted struct{ read int }

func (c *counted) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	c.read += len(p)
	if c.read > 100*maxBody {
		return 0, io.EOF
	}
	return len(p), nil
}

// TestDOS1_ARequestIsCutEarly sends a body without an end to each operation that has an input of its own.
func TestDOS1_ARequestIsCutEarly(t *testing.T) {
	t.Parallel()
	bodies := 0
	for name := range handlers {
		method, path, _ := strings.Cut(name, " ")
		if name == "POST import" {
			continue // has bounds of its own, in package operator
		}
		body := &counted{}
		r := httptest.NewRequest(method, Prefix+path, body)
		r.Header.Set(commandHeader, "1")
		err := Serve(new(recorder), httptest.NewRecorder(), r)
		var e *operator.Error
		switch {
		case body.read == 0: // an input in the query, or none
		case !errors.As(err, &e) || e.Kind != operator.TooLarge || body.read > 2*maxBody:
			t.Errorf("%s: %d bytes are read, %v", name, body.read, err)
		default:
			bodies++
		}
	}
	if bodies < 10 {
		t.Errorf("%d operations read a body", bodies)
	}
}

// TestInput_RefusesWhatIsNotKnown: a member that is misspelled would be left out without a word.
func TestInput_RefusesWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	for text, fits := range map[string]bool{
		`{"email":"a@example.com","roles":["x"]}`: true, `{"email":"a@example.com","role":["x"]}`: false, `{"email":["a@example.com"]}`: false, `[]`: false, ``: false,
	} {
		r := httptest.NewRequest(http.MethodPost, Prefix+"accounts", strings.NewReader(text))
		r.Header.Set(commandHeader, "1")
		behind := new(recorder)
		err := Serve(behind, httptest.NewRecorder(), r)
		var e *operator.Error
		if (err == nil) != fits || err != nil && (!errors.As(err, &e) || e.Kind != operator.Invalid) || (behind.asked != nil) != fits {
			t.Errorf("%s: %v, asked for %v", text, err, behind.asked)
		}
	}
}
