package identity

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// wire is the JSON form of an Identity, in the order it is written.
type wire struct {
	Issuer        string   `json:"iss"`
	Audience      string   `json:"aud"`
	Subject       string   `json:"sub,omitempty"`
	IssuedAt      int64    `json:"iat"`
	NotBefore     int64    `json:"nbf"`
	Expiry        int64    `json:"exp"`
	ID            string   `json:"jti"`
	SessionID     string   `json:"sid,omitempty"`
	Email         string   `json:"email,omitempty"`
	EmailVerified bool     `json:"email_verified"`
	AuthTime      int64    `json:"auth_time,omitempty"`
	Methods       []string `json:"amr,omitempty"`
	Name          string   `json:"name,omitempty"`
	Roles         []string `json:"roles,omitempty"`
	Scope         string   `json:"scope,omitempty"`
	Purpose       string   `json:"purpose,omitempty"`
	State         string   `json:"state,omitempty"`
}

// encodeClaims writes the claims as compact JSON, without the escapes that only matter inside HTML.
func encodeClaims(id *Identity) ([]byte, error) {
	w := wire{
		Issuer: id.Issuer, Audience: id.Audience, Subject: id.Subject,
		IssuedAt: id.IssuedAt.Unix(), NotBefore: id.NotBefore.Unix(), Expiry: id.Expiry.Unix(),
		ID: id.ID, SessionID: id.SessionID, Email: id.Email, EmailVerified: id.EmailVerified,
		Methods: id.Methods, Name: id.Name, Roles: id.Roles, Scope: strings.Join(id.Scope, " "),
		Purpose: id.Purpose, State: id.State,
	}
	if !id.AuthTime.IsZero() {
		w.AuthTime = id.AuthTime.Unix()
	}
	var b bytes.Buffer
	b.Grow(512)
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(w); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decodeClaims reads the claims of a token whose signature holds.
func decodeClaims(payload []byte) (*Identity, error) {
	o, err := parseObject(payload)
	if err != nil {
		return nil, err
	}
	id := &Identity{}
	if err := o.decodeTexts(id); err != nil {
		return nil, err
	}
	if err := o.decodeTimes(id); err != nil {
		return nil, err
	}
	if id.EmailVerified, err = o.flag("email_verified"); err != nil {
		return nil, err
	}
	if id.Methods, err = o.texts("amr"); err != nil {
		return nil, err
	}
	if id.Roles, err = o.texts("roles"); err != nil {
		return nil, err
	}
	return id, nil
}

// decodeTexts reads the claims that are one text.
func (o object) decodeTexts(id *Identity) error {
	var scope string
	for _, f := range []struct {
		name     string
		to       *string
		required bool
	}{
		{"iss", &id.Issuer, true},
		{"aud", &id.Audience, true},
		{"jti", &id.ID, true},
		{"sub", &id.Subject, false},
		{"sid", &id.SessionID, false},
		{"email", &id.Email, false},
		{"name", &id.Name, false},
		{"scope", &scope, false},
		{"purpose", &id.Purpose, false},
		{"state", &id.State, false},
	} {
		s, present, err := o.text(f.name)
		if err != nil {
			return err
		}
		if f.required && (!present || s == "") {
			return RefusedClaims
		}
		*f.to = s
	}
	if scope != "" {
		id.Scope = strings.Fields(scope)
	}
	return nil
}

// decodeTimes reads the claims that are a time.
func (o object) decodeTimes(id *Identity) error {
	for _, f := range []struct {
		name     string
		to       *time.Time
		required bool
	}{
		{"iat", &id.IssuedAt, true},
		{"nbf", &id.NotBefore, true},
		{"exp", &id.Expiry, true},
		{"auth_time", &id.AuthTime, false},
	} {
		t, present, err := o.date(f.name)
		if err != nil || (f.required && !present) {
			return RefusedClaims
		}
		*f.to = t
	}
	return nil
}

// clone returns a copy that shares nothing a caller could change.
func (id *Identity) clone() *Identity {
	c := *id
	c.Methods = slices.Clone(id.Methods)
	c.Roles = slices.Clone(id.Roles)
	c.Scope = slices.Clone(id.Scope)
	return &c
}
