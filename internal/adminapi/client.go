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

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
)

// errNobody says that no Caddy answers at the admin address.
var errNobody = errors.New("no Caddy answers")

// client asks a running Caddy over its admin API.
type client struct {
	http *http.Client
	base string
	// origin is sent as Origin: the admin API checks it where the operator has switched that on. A Unix socket has none, and the
	// admin API refuses any there.
	origin string
}

// newClient connects to the admin address, in Caddy's network address form. The error is [errNobody] when nothing listens
// there, so that the caller may open the database itself.
func newClient(ctx context.Context, address string) (*client, error) {
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil || parsed.PortRangeSize() > 1 {
		return nil, fmt.Errorf("%q is not an admin address", address)
	}
	network, target, host := "tcp", parsed.JoinHostPort(0), parsed.JoinHostPort(0)
	origin := "http://" + host
	if parsed.IsUnixNetwork() {
		path, _, _ := strings.Cut(parsed.Host, "|") // permissions may follow the path
		network, target, host, origin = "unix", path, "127.0.0.1", ""
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, network, target)
	if err != nil {
		return nil, fmt.Errorf("%w at %s: %w", errNobody, address, err)
	}
	_ = conn.Close() // it was only asked whether somebody is there
	return &client{
		base:   "http://" + host,
		origin: origin,
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, target)
			},
		}},
	}, nil
}

// do sends a request, with in as JSON or, when it is a reader, as it is, and decodes the answer into out unless that is nil or a
// writer, which gets the body as it is.
func (c *client) do(ctx context.Context, method string, path []string, query url.Values, in, out any) error {
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
func ask[T any](ctx context.Context, c *client, method string, path []string, query url.Values, in any) (T, error) {
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
		return &Error{resp.StatusCode, fmt.Sprintf("the running Caddy answered %s", resp.Status)}
	}
	if caddyError.Error == ErrNotRunning.Error() {
		return ErrNotRunning
	}
	return &Error{resp.StatusCode, caddyError.Error}
}

func (c *client) AddAccount(ctx context.Context, in AccountInput) (Account, error) {
	return ask[Account](ctx, c, http.MethodPost, []string{"accounts"}, nil, in)
}

func (c *client) Accounts(ctx context.Context, each func(Account) error) error {
	read, write := io.Pipe()
	go func() {
		write.CloseWithError(c.do(ctx, http.MethodGet, []string{"accounts"}, nil, nil, io.Writer(write)))
	}()
	defer func() { _ = read.Close() }()
	dec := json.NewDecoder(read)
	for {
		var a Account
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

func (c *client) Account(ctx context.Context, who string) (Account, error) {
	return ask[Account](ctx, c, http.MethodPost, []string{"account"}, nil, whoInput{who})
}

func (c *client) ChangeAccount(ctx context.Context, who string, change AccountChange) (Account, error) {
	return ask[Account](ctx, c, http.MethodPatch, []string{"account"}, nil, changeInput{who, change})
}

func (c *client) DeleteAccount(ctx context.Context, who string) error {
	return c.do(ctx, http.MethodDelete, []string{"account"}, nil, whoInput{who}, nil)
}

func (c *client) EndSessions(ctx context.Context, who string) error {
	return c.do(ctx, http.MethodDelete, []string{"sessions"}, nil, whoInput{who}, nil)
}

func (c *client) CreateToken(ctx context.Context, in MachineTokenInput) (MachineToken, error) {
	return ask[MachineToken](ctx, c, http.MethodPost, []string{"tokens"}, nil, in)
}

func (c *client) Tokens(ctx context.Context, who string) ([]MachineToken, error) {
	return ask[[]MachineToken](ctx, c, http.MethodPost, []string{"tokens_list"}, nil, tokenInput{Who: who})
}

func (c *client) RevokeToken(ctx context.Context, id string) (MachineToken, error) {
	return ask[MachineToken](ctx, c, http.MethodDelete, []string{"tokens"}, nil, tokenInput{ID: id})
}

func (c *client) MakeLink(ctx context.Context, in LinkInput) (Link, error) {
	return ask[Link](ctx, c, http.MethodPost, []string{"link"}, nil, in)
}

func (c *client) AudienceKey(ctx context.Context, audience string, sign bool) (AudienceKey, error) {
	query := url.Values{}
	if sign {
		query.Set("use", "sign_key")
	}
	return ask[AudienceKey](ctx, c, http.MethodGet, []string{"keys", audience}, query, nil)
}

func (c *client) BackupInfo(ctx context.Context) (BackupInfo, error) {
	return ask[BackupInfo](ctx, c, http.MethodGet, []string{"backup_info"}, nil, nil)
}

func (c *client) MasterKeys(ctx context.Context) (string, error) {
	return ask[string](ctx, c, http.MethodGet, []string{"master_keys"}, nil, nil)
}

func (c *client) Backup(ctx context.Context, w io.Writer) error {
	return c.do(ctx, http.MethodGet, []string{"backup"}, nil, nil, w)
}

func (c *client) Sessions(ctx context.Context, who string) ([]Session, error) {
	return ask[[]Session](ctx, c, http.MethodPost, []string{"sessions"}, nil, whoInput{who})
}

func (c *client) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	return ask[[]SigningKey](ctx, c, http.MethodGet, []string{"signing_keys"}, nil, nil)
}

func (c *client) RotateKey(ctx context.Context) (Rotated, error) {
	return ask[Rotated](ctx, c, http.MethodPost, []string{"signing_keys"}, nil, nil)
}

func (c *client) Mails(ctx context.Context) ([]Mail, error) {
	return ask[[]Mail](ctx, c, http.MethodGet, []string{"mails"}, nil, nil)
}

func (c *client) RetryMail(ctx context.Context, id string) (Retried, error) {
	return ask[Retried](ctx, c, http.MethodPost, []string{"mail_retry"}, nil, retryInput{ID: id})
}

func (c *client) Events(ctx context.Context, n int) ([]Event, error) {
	return ask[[]Event](ctx, c, http.MethodGet, []string{"events"}, url.Values{"n": {strconv.Itoa(n)}}, nil)
}

func (c *client) Limits(ctx context.Context, who []string) ([]Limit, error) {
	return ask[[]Limit](ctx, c, http.MethodPost, []string{"limits"}, nil, limitsInput{Who: who})
}

func (c *client) ResetLimits(ctx context.Context, who []string) (LimitsReset, error) {
	return ask[LimitsReset](ctx, c, http.MethodDelete, []string{"limits"}, nil, limitsInput{Who: who})
}

func (c *client) SendTest(ctx context.Context, in TestMail) (TestSent, error) {
	return ask[TestSent](ctx, c, http.MethodPost, []string{"mail_test"}, nil, in)
}

func (c *client) Diagnose(ctx context.Context, to string) ([]doctor.Finding, error) {
	return ask[[]doctor.Finding](ctx, c, http.MethodPost, []string{"doctor"}, nil, doctorInput{To: to})
}
