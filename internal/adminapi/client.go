package adminapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// ErrUnreachable is returned if no Caddy answers at the admin address.
var ErrUnreachable = errors.New("no Caddy answers")

// Client asks a running Caddy over its admin API.
type Client struct {
	http *http.Client
	base string
	// origin is sent as Origin: the admin API checks it where the operator has switched that on. A Unix socket has none, and the
	// admin API refuses any there.
	origin string
}

// Connect connects to Caddy's admin address: a host and port of the network tcp, or the path of a socket of the network unix.
// The error is [ErrUnreachable] when nothing listens there, so that the caller may open the database itself.
func Connect(ctx context.Context, network, address string) (*Client, error) {
	host, origin := address, "http://"+address
	if network == "unix" {
		host, origin = "127.0.0.1", ""
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, address, err)
	}
	_ = conn.Close() // it only shows that something listens
	return &Client{
		base:   "http://" + host,
		origin: origin,
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
		}},
	}, nil
}

// send asks for an operation. in is sent as JSON, a reader as it is; the answer is decoded into out, and a writer gets it as it is.
func (c *Client) send(ctx context.Context, op stream, query url.Values, in, out any) error {
	target := c.base + Prefix + op.path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	kind := "application/json"
	body, isFile := in.(io.Reader)
	if isFile {
		kind = "application/octet-stream"
	} else if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, op.method, target, body)
	if err != nil {
		return err
	}
	if c.origin != "" {
		req.Header.Set("Origin", c.origin)
	}
	req.Header.Set("Content-Type", kind)
	caller := operator.CallerOf(ctx)
	req.Header.Set(commandHeader, cmp.Or(url.PathEscape(caller.Command), "1"))
	req.Header.Set(userHeader, url.PathEscape(caller.User))
	req.Header.Set(hostHeader, url.PathEscape(caller.Host))
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("asking the running Caddy: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 400 {
		return refusal(resp)
	}
	if w, ok := out.(io.Writer); ok {
		_, err = io.Copy(w, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// refusal returns the error that an answer of Caddy's admin API carries.
func refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	var caddyError struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &caddyError) != nil || caddyError.Error == "" {
		if resp.StatusCode == http.StatusNotFound {
			return ErrNotRunning // a Caddy without this module
		}
		return refused(resp.StatusCode, fmt.Sprintf("the running Caddy answered %s", resp.Status))
	}
	if caddyError.Error == ErrNotRunning.Error() {
		return ErrNotRunning
	}
	return refused(resp.StatusCode, caddyError.Error)
}

func refused(status int, message string) error {
	for kind, of := range statuses {
		if of == status {
			return &operator.Error{Kind: kind, Message: message}
		}
	}
	return errors.New(message)
}

var _ operator.Operations = (*Client)(nil)

// AddAccount implements operator.Operations.
func (c *Client) AddAccount(ctx context.Context, in operator.AccountInput) (operator.AddedAccount, error) {
	return call(ctx, c, addAccount, in)
}

// Account implements operator.Operations.
func (c *Client) Account(ctx context.Context, who string) (operator.AccountDetails, error) {
	return call(ctx, c, showAccount, accountInput{who})
}

// ChangeAccount implements operator.Operations.
func (c *Client) ChangeAccount(ctx context.Context, who string, change operator.AccountChange) (operator.ChangedAccount, error) {
	return call(ctx, c, changeAccount, changeInput{who, change})
}

// DeleteAccount implements operator.Operations.
func (c *Client) DeleteAccount(ctx context.Context, who string) (operator.ChangedAccount, error) {
	return call(ctx, c, deleteAccount, accountInput{who})
}

// Sessions implements operator.Operations.
func (c *Client) Sessions(ctx context.Context, who string) ([]operator.Session, error) {
	return call(ctx, c, listSessions, accountInput{who})
}

// EndSessions implements operator.Operations.
func (c *Client) EndSessions(ctx context.Context, who string) (operator.EndedSessions, error) {
	return call(ctx, c, endSessions, accountInput{who})
}

// Explain implements operator.Operations.
func (c *Client) Explain(ctx context.Context, q operator.ExplainQuery) (operator.Explanation, error) {
	return call(ctx, c, explain, q)
}

// History implements operator.Operations.
func (c *Client) History(ctx context.Context, who string, n int) ([]operator.Event, error) {
	return call(ctx, c, history, historyInput{who, n})
}

// CreateToken implements operator.Operations.
func (c *Client) CreateToken(ctx context.Context, in operator.MachineTokenInput) (operator.MachineToken, error) {
	return call(ctx, c, createToken, in)
}

// Tokens implements operator.Operations.
func (c *Client) Tokens(ctx context.Context, who string) ([]operator.MachineToken, error) {
	return call(ctx, c, listTokens, accountInput{who})
}

// RevokeToken implements operator.Operations.
func (c *Client) RevokeToken(ctx context.Context, id string) (operator.MachineToken, error) {
	return call(ctx, c, revokeToken, idInput{id})
}

// MakeLink implements operator.Operations.
func (c *Client) MakeLink(ctx context.Context, in operator.LinkInput) (operator.Link, error) {
	return call(ctx, c, makeLink, in)
}

// Invite implements operator.Operations.
func (c *Client) Invite(ctx context.Context, in operator.InvitationInput) (operator.Invitation, error) {
	return call(ctx, c, invite, in)
}

// Invitations implements operator.Operations.
func (c *Client) Invitations(ctx context.Context) ([]operator.Invitation, error) {
	return call(ctx, c, listInvites, none{})
}

// RevokeInvitations implements operator.Operations.
func (c *Client) RevokeInvitations(ctx context.Context, which string) ([]operator.Invitation, error) {
	return call(ctx, c, endInvites, accountInput{which})
}

// AudienceKey implements operator.Operations.
func (c *Client) AudienceKey(ctx context.Context, audience string, sign bool) (operator.AudienceKey, error) {
	return call(ctx, c, audienceKey, keyInput{audience, sign})
}

// SigningKeys implements operator.Operations.
func (c *Client) SigningKeys(ctx context.Context) ([]operator.SigningKey, error) {
	return call(ctx, c, signingKeys, none{})
}

// EndRestored implements operator.Operations.
func (c *Client) EndRestored(ctx context.Context) (operator.EndedRestored, error) {
	return call(ctx, c, endRestored, none{})
}

// Nodes implements operator.Operations.
func (c *Client) Nodes(ctx context.Context) ([]operator.Node, error) {
	return call(ctx, c, listNodes, none{})
}

// Reseal implements operator.Operations.
func (c *Client) Reseal(ctx context.Context) (operator.Resealed, error) {
	return call(ctx, c, reseal, none{})
}

// RotateKey implements operator.Operations.
func (c *Client) RotateKey(ctx context.Context) (operator.Rotated, error) {
	return call(ctx, c, rotateKey, none{})
}

// Mails implements operator.Operations.
func (c *Client) Mails(ctx context.Context) ([]operator.Mail, error) {
	return call(ctx, c, listMails, none{})
}

// RetryMail implements operator.Operations.
func (c *Client) RetryMail(ctx context.Context, id string) (operator.Retried, error) {
	return call(ctx, c, retryMail, idInput{id})
}

// SendTest implements operator.Operations.
func (c *Client) SendTest(ctx context.Context, in operator.TestMail) (operator.TestSent, error) {
	return call(ctx, c, sendTest, in)
}

// Events implements operator.Operations.
func (c *Client) Events(ctx context.Context, q operator.EventQuery) ([]operator.Event, error) {
	return call(ctx, c, listEvents, q)
}

// Limits implements operator.Operations.
func (c *Client) Limits(ctx context.Context, who []string) ([]operator.Limit, error) {
	return call(ctx, c, showLimits, limitsInput{who})
}

// ResetLimits implements operator.Operations.
func (c *Client) ResetLimits(ctx context.Context, who []string) (operator.LimitsReset, error) {
	return call(ctx, c, resetLimits, limitsInput{who})
}

// Diagnose implements operator.Operations.
func (c *Client) Diagnose(ctx context.Context, to string) ([]doctor.Finding, error) {
	return call(ctx, c, diagnose, diagnoseInput{to})
}

// BackupInfo implements operator.Operations.
func (c *Client) BackupInfo(ctx context.Context) (operator.BackupInfo, error) {
	return call(ctx, c, backupInfo, none{})
}

// MasterKeys implements operator.Operations.
func (c *Client) MasterKeys(ctx context.Context) (string, error) {
	return call(ctx, c, masterKeys, none{})
}
