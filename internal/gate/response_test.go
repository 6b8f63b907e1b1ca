package gate

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// wrapped returns a writer between a handler and w, and what ends its session.
func wrapped(w http.ResponseWriter) (*responseWriter, *atomic.Bool) {
	ended := new(atomic.Bool)
	return &responseWriter{
		ResponseWriter: w, strip: boundary.NewStripper(boundary.Rules{Own: []string{"Remote-User"}}),
		bound: boundUntil{ended},
	}, ended
}

// boundUntil is a request that ends when ended is set.
type boundUntil struct{ ended *atomic.Bool }

func (b boundUntil) Ended() bool { return b.ended.Load() }
func (b boundUntil) Use() bool   { return !b.ended.Load() }

func (b boundUntil) refuse(w http.ResponseWriter) {
	http.Error(w, "signed out", http.StatusUnauthorized)
}

func TestSES4_ReplacedBeforeItBegins(t *testing.T) {
	rec := httptest.NewRecorder()
	rec.Header().Set("Server", "Caddy")
	w, ended := wrapped(rec)
	ended.Store(true)
	err := w.run(handlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("X-Secret", "1")
		w.WriteHeader(http.StatusOK)
		if _, err := w.Write([]byte("secret")); !errors.Is(err, errEnded) {
			t.Errorf("writing: %v", err)
		}
		if _, err := io.Copy(w, strings.NewReader("secret")); !errors.Is(err, errEnded) {
			t.Errorf("copying: %v", err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flushing: %v", err)
		}
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, errEnded) {
			t.Errorf("taking over: %v", err)
		}
		panic(http.ErrAbortHandler) // as reverse_proxy does after a failed write
	}), httptest.NewRequest(http.MethodGet, "/", nil))
	if err != nil || rec.Code != http.StatusUnauthorized || strings.Contains(rec.Body.String(), "secret") || rec.Header().Get("X-Secret") != "" {
		t.Errorf("%d %v %q, %v", rec.Code, rec.Header(), rec.Body, err)
	}
	if rec.Header().Get("Server") != "Caddy" {
		t.Error("the server's own header is gone")
	}
}

func TestSES4_CutAtTheNextWrite(t *testing.T) {
	rec := httptest.NewRecorder()
	w, ended := wrapped(rec)
	if _, err := w.Write([]byte("one")); err != nil {
		t.Fatal(err)
	}
	ended.Store(true)
	if n, err := w.Write([]byte("two")); n != 0 || !errors.Is(err, errEnded) {
		t.Errorf("%d, %v", n, err)
	}
	if rec.Body.String() != "one" || rec.Code != http.StatusOK {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
}

// TestSES4_OtherPanics makes sure that only the panic which we have caused is taken.
func TestSES4_OtherPanics(t *testing.T) {
	for _, over := range []bool{false, true} {
		w, ended := wrapped(httptest.NewRecorder())
		ended.Store(over)
		want := any("broken")
		if !over {
			want = http.ErrAbortHandler
		}
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("over=%v: recovered %v, want %v", over, got, want)
				}
			}()
			_ = w.run(handlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
				w.WriteHeader(http.StatusOK)
				panic(want)
			}), nil)
		}()
	}
}

// TestHDR4_EveryWayOut makes sure that no method of the writer passes by the filter.
func TestHDR4_EveryWayOut(t *testing.T) {
	for name, out := range map[string]func(http.ResponseWriter){
		"header": func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
		"write":  func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
		"flush":  func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		"copy":   func(w http.ResponseWriter) { _, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("x")) },
		"none":   func(http.ResponseWriter) {},
	} {
		rec := httptest.NewRecorder()
		w, _ := wrapped(rec)
		err := w.run(handlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Remote-User", "root")
			w.Header().Set("email-link-start", "x")
			w.Header()["Set-Cookie"] = []string{"__Host-email_link=x", "a=b"}
			out(w)
			w.Header().Set(http.TrailerPrefix+"Remote-User", "root")
			return nil
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := rec.Result().Header
		if name == "none" {
			got = rec.Header()
		}
		if len(got["Remote-User"]) > 0 || len(got["Email-Link-Start"]) > 0 || len(got["Set-Cookie"]) != 1 || len(rec.Header()[http.TrailerPrefix+"Remote-User"]) > 0 {
			t.Errorf("%s: %v, then %v", name, got, rec.Header())
		}
	}
}

// TestSES4_CopyInPieces copies more than one piece, from limited readers and others.
func TestSES4_CopyInPieces(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 2*copyChunk+17)
	for name, src := range map[string]io.Reader{
		"plain":   bytes.NewReader(content),
		"limited": io.LimitReader(io.MultiReader(bytes.NewReader(content), strings.NewReader("more")), int64(len(content))),
	} {
		rec := httptest.NewRecorder()
		w, _ := wrapped(rec)
		n, err := w.ReadFrom(src)
		if n != int64(len(content)) || err != nil || !bytes.Equal(rec.Body.Bytes(), content) {
			t.Errorf("%s: %d of %d, %v", name, n, len(content), err)
		}
	}
}
