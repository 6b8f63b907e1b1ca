package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// ErrUnreachable says that no Caddy answers at the admin address.
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
	_ = conn.Close() // it was only asked whether somebody is there
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

// do sends a request, with in as JSON or, when it is a reader, as it is, and decodes the answer into out unless that is nil or a
// writer, which gets the body as it is.
func (c *Client) do(ctx context.Context, method string, path []string, query url.Values, in, out any) error {
	for i := range path {
		path[i] = url.PathEscape(path[i])
	}
	target := c.base + Prefix + strings.Join(path, "/")
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
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	if c.origin != "" {
		req.Header.Set("Origin", c.origin)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set(commandHeader, "1")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("asking the running Caddy: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 400 {
		return refusal(resp)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case io.Writer:
		_, err = io.Copy(out, resp.Body)
	default:
		err = json.NewDecoder(resp.Body).Decode(out)
	}
	return err
}

// ask is do with the answer as a value.
func ask[T any](ctx context.Context, c *Client, method string, path []string, query url.Values, in any) (T, error) {
	var out T
	err := c.do(ctx, method, path, query, in, &out)
	return out, err
}

// refusal turns an answer of Caddy's admin API into the error it stands for.
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

func (c *Client) AddAccount(ctx context.Context, in operator.AccountInput) (operator.Account, error) {
	return ask[operator.Account](ctx, c, http.MethodPost, []string{"accounts"}, nil, in)
}

func (c *Client) Accounts(ctx context.Context, each func(operator.Account) error) error {
	read, write := io.Pipe()
	go func() {
		write.CloseWithError(c.do(ctx, http.MethodGet, []string{"accounts"}, nil, nil, io.Writer(write)))
	}()
	defer func() { _ = read.Close() }()
	dec := json.NewDecoder(read)
	for {
		var a operator.Account
		if err := dec.Decode(&a); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := each(a); err != nil {
			return err
		}
	}
}

func (c *Client) Account(ctx context.Context, who string) (operator.Account, error) {
	return ask[operator.Account](ctx, c, http.MethodPost, []string{"account"}, nil, whoInput{who})
}

func (c *Client) ChangeAccount(ctx context.Context, who string, change operator.AccountChange) (operator.Account, error) {
	return ask[operator.Account](ctx, c, http.MethodPatch, []string{"account"}, nil, changeInput{who, change})
}

func (c *Client) DeleteAccount(ctx context.Context, who string) error {
	return c.do(ctx, http.MethodDelete, []string{"account"}, nil, whoInput{who}, nil)
}

func (c *Client) EndSessions(ctx context.Context, who string) error {
	return c.do(ctx, http.MethodDelete, []string{"sessions"}, nil, whoInput{who}, nil)
}

func (c *Client) CreateToken(ctx context.Context, in operator.MachineTokenInput) (operator.MachineToken, error) {
	return ask[operator.MachineToken](ctx, c, http.MethodPost, []string{"tokens"}, nil, in)
}

func (c *Client) Tokens(ctx context.Context, who string) ([]operator.MachineToken, error) {
	return ask[[]operator.MachineToken](ctx, c, http.MethodPost, []string{"tokens_list"}, nil, tokenInput{Who: who})
}

func (c *Client) RevokeToken(ctx context.Context, id string) (operator.MachineToken, error) {
	return ask[operator.MachineToken](ctx, c, http.MethodDelete, []string{"tokens"}, nil, tokenInput{ID: id})
}

func (c *Client) MakeLink(ctx context.Context, in operator.LinkInput) (operator.Link, error) {
	return ask[operator.Link](ctx, c, http.MethodPost, []string{"link"}, nil, in)
}

func (c *Client) AudienceKey(ctx context.Context, audience string, sign bool) (operator.AudienceKey, error) {
	query := url.Values{}
	if sign {
		query.Set("use", "sign_key")
	}
	return ask[operator.AudienceKey](ctx, c, http.MethodGet, []string{"keys", audience}, query, nil)
}

func (c *Client) BackupInfo(ctx context.Context) (operator.BackupInfo, error) {
	return ask[operator.BackupInfo](ctx, c, http.MethodGet, []string{"backup_info"}, nil, nil)
}

func (c *Client) MasterKeys(ctx context.Context) (string, error) {
	return ask[string](ctx, c, http.MethodGet, []string{"master_keys"}, nil, nil)
}

func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	return c.do(ctx, http.MethodGet, []string{"backup"}, nil, nil, w)
}

func (c *Client) Sessions(ctx context.Context, who string) ([]operator.Session, error) {
	return ask[[]operator.Session](ctx, c, http.MethodPost, []string{"sessions"}, nil, whoInput{who})
}

func (c *Client) SigningKeys(ctx context.Context) ([]operator.SigningKey, error) {
	return ask[[]operator.SigningKey](ctx, c, http.MethodGet, []string{"signing_keys"}, nil, nil)
}

func (c *Client) RotateKey(ctx context.Context) (operator.Rotated, error) {
	return ask[operator.Rotated](ctx, c, http.MethodPost, []string{"signing_keys"}, nil, nil)
}

func (c *Client) Mails(ctx context.Context) ([]operator.Mail, error) {
	return ask[[]operator.Mail](ctx, c, http.MethodGet, []string{"mails"}, nil, nil)
}

func (c *Client) RetryMail(ctx context.Context, id string) (operator.Retried, error) {
	return ask[operator.Retried](ctx, c, http.MethodPost, []string{"mail_retry"}, nil, retryInput{ID: id})
}

func (c *Client) Events(ctx context.Context, n int) ([]operator.Event, error) {
	return ask[[]operator.Event](ctx, c, http.MethodGet, []string{"events"}, url.Values{"n": {strconv.Itoa(n)}}, nil)
}

func (c *Client) Limits(ctx context.Context, who []string) ([]operator.Limit, error) {
	return ask[[]operator.Limit](ctx, c, http.MethodPost, []string{"limits"}, nil, limitsInput{Who: who})
}

func (c *Client) ResetLimits(ctx context.Context, who []string) (operator.LimitsReset, error) {
	return ask[operator.LimitsReset](ctx, c, http.MethodDelete, []string{"limits"}, nil, limitsInput{Who: who})
}

func (c *Client) SendTest(ctx context.Context, in operator.TestMail) (operator.TestSent, error) {
	return ask[operator.TestSent](ctx, c, http.MethodPost, []string{"mail_test"}, nil, in)
}

func (c *Client) Diagnose(ctx context.Context, to string) ([]doctor.Finding, error) {
	return ask[[]doctor.Finding](ctx, c, http.MethodPost, []string{"doctor"}, nil, doctorInput{To: to})
}
