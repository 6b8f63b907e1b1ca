package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Labels of the key ring. Each names one use; none is used for two.
const (
	labelFlowCookie  = "flow cookie"
	labelFlowPrivate = "flow private"
	labelConfirm     = "flow confirm"
	labelKnownTag    = "known browser tag"
	labelKnown       = "known browser"
	labelProof       = "proof cookie"
	labelNewDevice   = "new device"
	labelUndo        = "undo of a deletion"
	labelAddress     = "address cookie"
	labelTakeBack    = "take-back"
)

// private is what a flow holds under seal.
type private struct {
	// Email is the address as typed.
	Email    string `json:"email"`
	ReturnTo string `json:"return_to,omitempty"`
	// Device, Locale and Network describe the asking browser; Network is a prefix such as 203.0.113.0/24.
	Device  string `json:"device,omitempty"`
	Locale  string `json:"locale,omitempty"`
	Network string `json:"network,omitempty"`
	// Origin is set when a POST which passed the cross-origin check started the flow.
	Origin bool `json:"origin,omitempty"`
	// Ephemeral is set when the session is to end with the browser.
	Ephemeral bool `json:"ephemeral,omitempty"`
	// Operator is set when the flow was made at the command line: it has no browser.
	Operator bool `json:"operator,omitempty"`
	// Generation counts the flows that a cookie's flow has succeeded; see current.
	Generation int `json:"generation,omitempty"`
	// Reserve is set when the mailbox's limit was spent: the mails leave for a network of the account's sessions only.
	Reserve bool `json:"reserve,omitempty"`
	// Act is what a proof proves, and Session the id of the session that asked, or that a new device has opened.
	Act     Act    `json:"act,omitzero"`
	Session string `json:"session,omitempty"`
	// CodeEnds is the last time of a proof's code, in seconds since 1970. Its flow lives longer: for "this wasn't me".
	CodeEnds int64 `json:"code_ends,omitempty"`
	// Invited is set for a sign-up where invitations alone make accounts; Invite is the invitation of a flow of that purpose.
	Invited bool        `json:"invited,omitempty"`
	Invite  *invitation `json:"invite,omitempty"`
	// App is set where an app has started the flow.
	App *appFlow `json:"app,omitempty"`
}

func keyBytes(k storage.Key) []byte {
	return append(strconv.AppendInt(nil, k.End, 10), k.Digest[:]...)
}

func (s *Service) sealPrivate(k storage.Key, p private) ([]byte, error) {
	plain, err := token.Compact(p)
	if err != nil {
		return nil, fmt.Errorf("flow: write the private half: %w", err)
	}
	return s.Ring.Seal(labelFlowPrivate, keyBytes(k), plain), nil
}

func (s *Service) openPrivate(f storage.Flow) (p private, addr address.Address, err error) {
	plain, err := s.Ring.Open(labelFlowPrivate, keyBytes(f.Key), f.Private)
	if err != nil {
		return p, addr, fmt.Errorf("flow: open the private half: %w", err)
	}
	if err := json.Unmarshal(plain, &p); err != nil {
		return p, addr, fmt.Errorf("flow: read the private half: %w", err)
	}
	if addr, err = address.Parse(p.Email); err != nil {
		return p, addr, fmt.Errorf("flow: an address that was accepted: %w", err)
	}
	return p, addr, nil
}

// flowKey returns where the flow of a cookie is, in one generation.
func (s *Service) flowKey(cookie token.Parsed, site string, generation int) storage.Key {
	label := labelFlowCookie
	if generation > 0 {
		label += " " + strconv.Itoa(generation)
	}
	return cookie.CookieKey(s.Ring, label, site)
}

// currentFlow is the flow that a browser holds.
type currentFlow struct {
	storage.Flow
	// Cookie is the parsed flow cookie, Text its raw value.
	Cookie token.Parsed
	Text   string
	// Generation is the flow's.
	Generation int
	// Private and Addr are the flow's private half.
	Private private
	Addr    address.Address
	// Claims are the cookie's own, nil where it carries none; Unstored is set when the flow is not in the store yet.
	Claims   *token.Claims
	Unstored bool
}

// current returns the flow of this browser at this site, when it has one that has not expired.
//
// To the browser that asked a flow stays the same until it expires, whatever became of it elsewhere: used, cancelled,
// its account disabled. So the first mail or wrong code after such an end makes a new flow under the same cookie, with the
// same end and with what is left of resends and attempts: its next generation. The last generation is the current one.
func (s *Service) current(tx storage.Tx, site Site, text string, now time.Time) (h currentFlow, found bool, err error) {
	if text == "" {
		return currentFlow{}, false, nil
	}
	cookie, claims, ok := s.readCookie(site, text)
	if !ok {
		return currentFlow{}, false, nil // not a flow cookie
	}
	h = currentFlow{Cookie: cookie, Text: text, Claims: claims}
	if claims != nil {
		return s.currentStateless(tx, site, h, now)
	}
	if found, err = s.lastGeneration(tx, site, &h, now); err != nil || !found {
		return currentFlow{}, false, err
	}
	h.Private, h.Addr, err = s.openPrivate(h.Flow)
	return h, err == nil, err
}

// lastGeneration finds the last generation of a flow that is in the store and has not expired.
func (s *Service) lastGeneration(tx storage.Tx, site Site, h *currentFlow, now time.Time) (found bool, err error) {
	first, second := s.flowKey(h.Cookie, site.Origin, 0), s.flowKey(h.Cookie, site.Origin, 1)
	if err := tx.Prefetch(storage.Lookups{Flows: []storage.Key{first, second}}); err != nil {
		return false, err
	}
	for generation := 0; ; generation++ {
		k := s.flowKey(h.Cookie, site.Origin, generation)
		if !k.Alive(now) {
			return false, nil
		}
		f, ok, err := tx.Flows().Get(k)
		if err != nil {
			return false, err
		}
		if !ok || f.Site != site.Origin {
			return found, nil
		}
		h.Flow, h.Generation, found = f, generation, true
	}
}

// ownsFlow reports whether this browser holds the flow, by its cookie.
func (s *Service) ownsFlow(site Site, text string, f storage.Flow, p private) bool {
	if p.Operator || text == "" {
		return false
	}
	cookie, _, ok := s.readCookie(site, text)
	return ok && s.flowKey(cookie, site.Origin, p.Generation) == f.Key
}

// isActive reports whether an open flow is still what it was at birth. It reads the same records for a decoy.
func isActive(tx storage.Tx, f storage.Flow, now time.Time, forUpdate bool) (bool, error) {
	e, err := storage.ReadEpochs(tx, f.Mailbox, f.Account, forUpdate)
	if err != nil {
		return false, err
	}
	return f.State == storage.FlowOpen && f.Key.Alive(now) && f.Epochs == e, nil
}

// errConflict rolls back a transaction whose locked reads differ from its earlier reads; the step is then run again. It cannot happen with
// an engine that runs one write at a time.
var errConflict = errors.New("flow: the records moved under the step")

// maxConflicts bounds how often a step is run again.
const maxConflicts = 5

// cleanReturnTo returns a local path or "/". The web layer has judged it before; this is the border of the package.
func cleanReturnTo(path string) string {
	if len(path) > MaxReturnTo || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") ||
		strings.Contains(path, `\`) || strings.ContainsFunc(path, unicode.IsControl) {
		return "/"
	}
	return path
}

// language returns a language tag that an account may have, else none.
func language(tag string) string {
	if accounts.CheckLanguage(tag) != nil {
		return ""
	}
	return tag
}

// cutDevice returns the name of a device without control characters, cut to maxDevice bytes.
func cutDevice(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	for len(s) > maxDevice {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
