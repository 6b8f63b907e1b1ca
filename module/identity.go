package module

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// readIdentity resolves the identity block. The key stays in unexported fields.
func (h *Handler) readIdentity() error {
	c := gate.AssertionConfig{Header: identity.Header, Format: identity.FormatJWE, TTL: identity.DefaultTTL}
	if id := h.Identity; id != nil {
		c.Given = true
		if id.Header != "" {
			c.Header = canonical(id.Header)
		}
		if id.TTL > 0 {
			c.TTL = time.Duration(id.TTL)
		}
		switch id.Format {
		case "jws":
			c.Format = identity.FormatJWS
		case "none":
			c.Format = ""
		}
		text, err := expand(id.Key)
		if err != nil {
			return fmt.Errorf("identity key: %w", err)
		}
		if text != "" {
			if c.Key, c.PublicKey, err = parseAudienceKey(text); err != nil {
				return fmt.Errorf("identity key: %w; 'caddy email-link keys audience <name>' prints one", err)
			}
		}
		if c.SignKeys, err = parseSignKeys(id.SignKey); err != nil {
			return err
		}
		if slices.ContainsFunc(c.SignKeys, func(k []byte) bool { return bytes.Equal(k, c.Key) }) {
			return errors.New("identity: key and sign_key are two keys; whoever opens assertions is not to start flows")
		}
	}
	h.site.Assertions = c
	return nil
}

// parseSignKeys resolves the keys of what the app says.
func parseSignKeys(values []string) (keys [][]byte, err error) {
	for _, value := range values {
		text, err := expand(value)
		if err != nil {
			return nil, fmt.Errorf("identity sign_key: %w", err)
		}
		key, err := identity.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("identity sign_key: %w; 'caddy email-link keys audience <name> --sign' prints one", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// parseAudienceKey reads 32 bytes of text, or a public key as PEM or JWK for an app that must not share a secret.
func parseAudienceKey(text string) ([]byte, *ecdsa.PublicKey, error) {
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "-----") {
		public, err := identity.ParsePublicKey([]byte(text))
		return nil, public, err
	}
	key, err := identity.ParseKey(text)
	return key, nil, err
}
