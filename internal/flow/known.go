package flow

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// The known-browser cookie is a signed list of the mailboxes this browser has signed in to at this site, newest first. It
// proves nothing but that: it lets mails to these mailboxes, and wrong passwords for them, count apart from strangers', and
// spares the notice of a new device.
//
//	base64url( (8-byte end ‖ 16-byte tag){1,4} ‖ 16-byte signature ), no padding
const (
	knownMax   = 4
	knownTag   = 16
	knownEntry = 8 + knownTag
	knownSign  = 16
)

type knownBrowser struct {
	end int64
	tag [knownTag]byte
}

func (s *Service) knownTag(site Site, mailbox storage.Digest) (tag [knownTag]byte) {
	d := s.Ring.MAC(labelKnownTag, []byte(site.Origin), mailbox[:])
	copy(tag[:], d[:])
	return tag
}

func (s *Service) knownSignature(site Site, body []byte) []byte {
	d := s.Ring.MAC(labelKnown, []byte(site.Origin), body)
	return d[:knownSign]
}

// readKnown returns the entries of a cookie of ours that are not over; none for any other text.
func (s *Service) readKnown(site Site, cookie string, now time.Time) []knownBrowser {
	if cookie == "" || len(cookie) > base64.RawURLEncoding.EncodedLen(knownMax*knownEntry+knownSign) {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil || len(raw) < knownEntry+knownSign || (len(raw)-knownSign)%knownEntry != 0 {
		return nil
	}
	body, signature := raw[:len(raw)-knownSign], raw[len(raw)-knownSign:]
	if subtle.ConstantTimeCompare(signature, s.knownSignature(site, body)) != 1 {
		return nil
	}
	var list []knownBrowser
	for ; len(body) > 0; body = body[knownEntry:] {
		k := knownBrowser{end: int64(binary.BigEndian.Uint64(body)), tag: [knownTag]byte(body[8:knownEntry])} //nolint:gosec // signed by us
		if now.Unix() < k.end {
			list = append(list, k)
		}
	}
	return list
}

// knows says whether the browser with this cookie has signed in to the mailbox before.
func (s *Service) knows(site Site, cookie string, mailbox storage.Digest, now time.Time) bool {
	list := s.readKnown(site, cookie, now)
	if len(list) == 0 {
		return false
	}
	tag := s.knownTag(site, mailbox)
	for _, k := range list {
		if subtle.ConstantTimeCompare(k.tag[:], tag[:]) == 1 {
			return true
		}
	}
	return false
}

// remember returns the cookie of a browser that has just signed in to the mailbox.
func (s *Service) remember(site Site, cookie string, mailbox storage.Digest, now time.Time) string {
	tag := s.knownTag(site, mailbox)
	list := []knownBrowser{{end: now.Add(KnownLife).Unix(), tag: tag}}
	for _, k := range s.readKnown(site, cookie, now) {
		if k.tag != tag && len(list) < knownMax {
			list = append(list, k)
		}
	}
	var body []byte
	for _, k := range list {
		body = binary.BigEndian.AppendUint64(body, uint64(k.end)) //nolint:gosec // a time after 1970
		body = append(body, k.tag[:]...)
	}
	return base64.RawURLEncoding.EncodeToString(append(body, s.knownSignature(site, body)...))
}
