package integration

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawH2 is an HTTP/2 client that sends whatever it is told to: net/http would mend or refuse most of it.
type rawH2 struct {
	t      testing.TB
	conn   *tls.Conn
	framer *http2.Framer
	buf    bytes.Buffer
	enc    *hpack.Encoder
	next   uint32
	// extended says that the server has offered extended CONNECT (RFC 8441).
	extended bool
}

// h2Answer is what came back on one stream.
type h2Answer struct {
	status string
	header []hpack.HeaderField
	// refused says that the server has reset the stream, or has gone away.
	refused bool
}

func (w *world) rawH2() *rawH2 {
	w.t.Helper()
	conn, err := tls.Dial("tcp", "127.0.0.1:"+w.port, &tls.Config{InsecureSkipVerify: true, ServerName: w.host, NextProtos: []string{"h2"}}) //nolint:gosec // Caddy's own authority, in a test
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := &rawH2{t: w.t, conn: conn, framer: http2.NewFramer(conn, conn), next: 1}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.AllowIllegalWrites = true
	c.enc = hpack.NewEncoder(&c.buf)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		w.t.Fatal(err)
	}
	if err := c.framer.WriteSettings(); err != nil {
		w.t.Fatal(err)
	}
	f, err := c.framer.ReadFrame()
	settings, ok := f.(*http2.SettingsFrame)
	if err != nil || !ok {
		w.t.Fatalf("the server begins with %v, %v", f, err)
	}
	v, _ := settings.Value(http2.SettingEnableConnectProtocol)
	c.extended = v == 1
	if err := c.framer.WriteSettingsAck(); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// headers begins a stream, or ends one by trailers when id is not 0.
func (c *rawH2) headers(id uint32, end bool, fields ...string) uint32 {
	c.t.Helper()
	if id == 0 {
		id, c.next = c.next, c.next+2
	}
	c.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.buf.Bytes(), EndStream: end, EndHeaders: true}); err != nil {
		c.t.Fatal(err)
	}
	return id
}

func (c *rawH2) data(id uint32, end bool, text string) {
	c.t.Helper()
	if err := c.framer.WriteData(id, end, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads the header of the answer on a stream.
func (c *rawH2) answer(id uint32) h2Answer {
	c.t.Helper()
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			var stream http2.StreamError
			if errors.As(err, &stream) {
				continue
			}
			return h2Answer{refused: true}
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				return h2Answer{status: f.PseudoValue("status"), header: f.RegularFields()}
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return h2Answer{refused: true}
			}
		case *http2.GoAwayFrame:
			return h2Answer{refused: true}
		}
	}
}

// read reads data of a stream; ok is false when the stream has ended.
func (c *rawH2) read(id uint32) (text string, ok bool, err error) {
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return "", false, err
		}
		if f.Header().StreamID != id {
			continue
		}
		switch f := f.(type) {
		case *http2.DataFrame:
			if len(f.Data()) > 0 {
				return string(f.Data()), true, nil
			}
			if f.StreamEnded() {
				return "", false, nil
			}
		case *http2.RSTStreamFrame:
			return "", false, nil
		case *http2.MetaHeadersFrame:
			if f.StreamEnded() {
				return "", false, nil
			}
		default:
			return "", false, fmt.Errorf("a %T", f)
		}
	}
}

// TestHDR1_HTTP2 sends forged headers over HTTP/2, as headers and as trailers, signed in and not, in spellings that the
// protocol knows and in some that it does not: what the server takes arrives without them.
func TestHDR1_HTTP2(t *testing.T) {
	w := start(t, setup{
		tls: true, global: "sign_up open",
		site: "public /open/*\nheaders {\n Remote-User {http.auth.user.email}\n X-Who {http.auth.user.id}\n}",
		top:  "servers {\n expected_underscore_headers email_* remote_* x_*\n expected_dot_headers email.*\n}",
	})
	ada := w.client()
	w.signUp(ada, "ada@example.com")
	w.backend.taken()
	arrived := 0
	for _, forged := range [][]string{
		{"email-link-assertion", "forged"},
		{"email-link-assertion", "forged", "email-link-assertion", "again"},
		{"email-link-assertion", ""},
		{"email_link_assertion", "forged", "email.link.assertion", "forged", "emaillinkassertion", "forged"},
		{"Email-Link-Assertion", "forged"},
		{"email-link-assertion ", "forged"},
		{"remote-user", "root", "remote_user", "root", "x-who", "forged", "x_who", "forged"},
		{"x-forwarded-user", "root", "x-auth-request-email", "root@example.com"},
		{"connection", "email-link-assertion, x-who"},
		{"connection", "keep-alive, remote-user", "email-link-assertion", "forged"},
		{"te", "trailers", "email-link-start", "forged"},
	} {
		for _, signedIn := range []bool{true, false} {
			for _, asTrailer := range []bool{false, true} {
				what := fmt.Sprintf("%q, signed in %v, as trailers %v", forged, signedIn, asTrailer)
				c := w.rawH2()
				path, fields := "/open/x", []string{}
				if signedIn {
					path, fields = "/app", []string{"cookie", ada.cookie()}
				}
				fields = append([]string{":method", "POST", ":scheme", "https", ":authority", w.host + ":" + w.port, ":path", path}, fields...)
				if !asTrailer {
					c.headers(0, true, append(fields, forged...)...)
				} else {
					id := c.headers(0, false, append(fields, "trailer", "x-sum, email-link-assertion, remote-user")...)
					c.data(id, false, "abc")
					c.headers(id, true, append([]string{"x-sum", "1"}, forged...)...)
				}
				answer := c.answer(1)
				records := w.backend.taken()
				if len(records) == 0 && answer.status == "200" {
					t.Errorf("%s: %+v, and nothing arrived", what, answer)
				}
				for _, r := range records { // one whose trailers were refused may come later
					arrived++
					checkIdentity(t, what, r, strings.HasPrefix(r.uri, "/app"))
				}
				_ = c.conn.Close()
			}
		}
	}
	if arrived < 24 {
		t.Errorf("%d requests arrived: the test shows too little", arrived)
	}
}
