package machinetoken

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// claims are what a token says of itself. Times are whole seconds of the gate's clock.
type claims struct {
	Subject string `json:"sub"`
	Site    string `json:"iss"`
	// Scope holds the scopes, apart by spaces.
	Scope   string `json:"scope"`
	ID      string `json:"jti"`
	Issued  int64  `json:"iat"`
	Expires int64  `json:"exp"`
	// Secret is nowhere but in the token: the database and its key are not enough to make one.
	Secret []byte `json:"sec"`
	// Epochs are those at its birth: of everything, of the mailbox, of the account.
	Epochs [3]uint64 `json:"epo"`
}

func (c *claims) epochs() storage.Epochs {
	return storage.Epochs{Global: c.Epochs[0], Mailbox: c.Epochs[1], Account: c.Epochs[2]}
}

// digest returns what finds the record of a token.
func (m *Manager) digest(secret []byte) storage.Digest { return m.ring.MAC(label, secret) }

// seal returns the text of the token of a record.
func (m *Manager) seal(t storage.MachineToken, secret []byte) (string, error) {
	plain, err := json.Marshal(claims{
		Subject: t.Account, Site: t.Site, Scope: strings.Join(t.Scopes, " "), ID: t.ID,
		Issued: t.Created.Unix(), Expires: t.Key.End, Secret: secret,
		Epochs: [3]uint64{t.Epochs.Global, t.Epochs.Mailbox, t.Epochs.Account},
	})
	if err != nil {
		return "", err
	}
	return Prefix + m.jwe.Seal(plain), nil
}

// open returns the claims of a text that seal has made and that has not expired. A life of more than [MaxTTL] is none of
// ours, whatever the end says.
func (m *Manager) open(text string, now time.Time) (c claims, ok bool) {
	plain, err := m.jwe.Open(strings.TrimPrefix(text, Prefix))
	if err != nil || json.Unmarshal(plain, &c) != nil {
		return claims{}, false
	}
	life := c.Expires - c.Issued
	ok = life > 0 && life <= int64(MaxTTL/time.Second) && now.Unix() < c.Expires &&
		c.Subject != "" && c.ID != "" && len(c.Secret) == secretSize
	return c, ok
}
