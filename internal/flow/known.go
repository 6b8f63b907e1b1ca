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
	maxKnown           = 4
	knownTagSize       = 16
	knownEntrySize     = 8 + knownTagSize
	knownSignatureSize = 16
)

type knownBrowser struct {
	end int64
	tag [knownTagSize]byte
}

func (s *Service) knownTag(site Site, mailbox storage.Digest) (tag [knownTagSize]byte) {
	d := s.Ring.MAC(labelKnownTag, []byte(site.Origin), mailbox[:])
	copy(tag[:], d[:])
	return tag
}

func (s *Service) knownSignature(site Site, body []byte) []byte {
	d := s.Ring.MAC(labelKnown, []byte(site.Origin), body)
	return d[:knownSignatureSize]
}

// readKnown returns the entries of a cookie of ours that have not expired; none for any other text.
func (s *Service) readKnown(site Site, cookie string, now time.Time) []knownBrowser {
	if cookie == "" || len(cookie) > base64.RawURLEncoding.EncodedLen(maxKnown*knownEntrySize+knownSignatureSize) {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil || len(raw) < knownEntrySize+knownSignatureSize || (len(raw)-knownSignatureSize)%knownEntrySize != 0 {
		return nil
	}
	body, signature := raw[:len(raw)-knownSignatureSize], raw[len(raw)-knownSignatureSize:]
	if subtle.ConstantTimeCompare(signature, s.knownSignature(site, body)) != 1 {
		return nil
	}
	var list []knownBrowser
	for ; len(body) > 0; body = body[knownEntrySize:] {
		k := knownBrowser{end: int64(binary.BigEndian.Uint64(body)), tag: [knownTagSize]byte(body[8:knownEntrySize])} //nolint:gosec // signed by us
		if now.Unix() < k.end {
			list = append(list, k)
		}
	}
	return list
}

// isKnownBrowser reports whether the browser with this cookie has signed in to the mailbox before.
func (s *Service) isKnownBrowser(site Site, cookie string, mailbox storage.Digest, now time.Time) bool {
	return s.knownUntil(site, cookie, mailbox, now) != 0
}

// isOwnersBrowser reports whether the owner has been informed of this browser, or has asked for a link in it, and has not said since of any session
// that it was not theirs. A thief's browser is known as well until then; so limits, which serve the owner, go by isKnownBrowser.
func (s *Service) isOwnersBrowser(e authentication) bool {
	end := s.knownUntil(e.site, e.requester.KnownCookie, e.mailbox, e.now)
	return end != 0 && end > e.account.BrowsersForgotten.Add(KnownBrowserLifetime).Unix()
}

// knownUntil returns until when the browser with this cookie is known for the mailbox, in seconds since 1970: KnownBrowserLifetime after its last
// sign-in. It is 0 for a browser that is not.
func (s *Service) knownUntil(site Site, cookie string, mailbox storage.Digest, now time.Time) int64 {
	list := s.readKnown(site, cookie, now)
	if len(list) == 0 {
		return 0
	}
	tag := s.knownTag(site, mailbox)
	for _, k := range list {
		if subtle.ConstantTimeCompare(k.tag[:], tag[:]) == 1 {
			return k.end
		}
	}
	return 0
}

// rememberBrowser returns the cookie of a browser that has just signed in to the mailbox.
func (s *Service) rememberBrowser(site Site, cookie string, mailbox storage.Digest, now time.Time) string {
	tag := s.knownTag(site, mailbox)
	list := []knownBrowser{{end: now.Add(KnownBrowserLifetime).Unix(), tag: tag}}
	for _, k := range s.readKnown(site, cookie, now) {
		if k.tag != tag && len(list) < maxKnown {
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
