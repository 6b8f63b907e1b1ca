package flow

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
)

const (
	labelBinder = "portal binder"
	binderSize  = 32 // bytes
)

// NewBinder returns a random value for the cookie by which a site knows the browser that it has led to the portal.
func NewBinder() string {
	var b [binderSize]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// IsBinder reports whether a value has the form of those that NewBinder returns.
func IsBinder(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == binderSize && !strings.ContainsAny(s, "\r\n")
}

// binderDigest returns what a request and an entry hold in place of the binder.
func (s *Service) binderDigest(site, binder string) string {
	d := s.Ring.MAC(labelBinder, []byte(site), []byte(binder))
	return base64.RawURLEncoding.EncodeToString(d[:])
}
