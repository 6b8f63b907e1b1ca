package adminapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// The operations, as the endpoint serves them and the client asks for them. An input that may hold an address travels in the
// body, never in the path or the query: Caddy logs the URL of each request to the admin endpoint.
var (
	addAccount    = define(http.MethodPost, "accounts", operator.Operations.AddAccount)
	listAccounts  = defineStream(http.MethodGet, "accounts", serveAccounts)
	importFile    = defineStream(http.MethodPost, "import", serveImport)
	exportAll     = defineStream(http.MethodGet, "export", serveExport)
	showAccount   = define(http.MethodPost, "account", forAccount(operator.Operations.Account))
	changeAccount = define(http.MethodPatch, "account", func(o operator.Operations, ctx context.Context, in changeInput) (operator.ChangedAccount, error) {
		return o.ChangeAccount(ctx, in.Who, in.Change)
	})
	deleteAccount = define(http.MethodDelete, "account", forAccount(operator.Operations.DeleteAccount))
	listSessions  = define(http.MethodPost, "sessions", forAccount(operator.Operations.Sessions))
	allSessions   = defineStream(http.MethodPost, "sessions_all", serveSessions)
	history       = define(http.MethodPost, "history", func(o operator.Operations, ctx context.Context, in historyInput) ([]operator.Event, error) {
		return o.History(ctx, in.Who, in.N)
	})
	explain     = define(http.MethodPost, "why", operator.Operations.Explain)
	endSessions = define(http.MethodDelete, "sessions", forAccount(operator.Operations.EndSessions))
	createToken = define(http.MethodPost, "tokens", operator.Operations.CreateToken)
	listTokens  = define(http.MethodPost, "tokens_list", forAccount(operator.Operations.Tokens))
	revokeToken = define(http.MethodDelete, "tokens", forID(operator.Operations.RevokeToken))
	makeLink    = define(http.MethodPost, "link", operator.Operations.MakeLink)
	invite      = define(http.MethodPost, "invite", operator.Operations.Invite)
	listInvites = define(http.MethodGet, "invite", withoutInput(operator.Operations.Invitations))
	endInvites  = define(http.MethodDelete, "invite", forAccount(operator.Operations.RevokeInvitations))
	audienceKey = define(http.MethodGet, "keys", func(o operator.Operations, ctx context.Context, in keyInput) (operator.AudienceKey, error) {
		return o.AudienceKey(ctx, in.audience, in.sign)
	})
	signingKeys = define(http.MethodGet, "signing_keys", withoutInput(operator.Operations.SigningKeys))
	rotateKey   = define(http.MethodPost, "signing_keys", withoutInput(operator.Operations.RotateKey))
	listMails   = define(http.MethodGet, "mails", withoutInput(operator.Operations.Mails))
	retryMail   = define(http.MethodPost, "mail_retry", forID(operator.Operations.RetryMail))
	sendTest    = define(http.MethodPost, "mail_test", operator.Operations.SendTest)
	listEvents  = define(http.MethodPost, "events", operator.Operations.Events)
	showLimits  = define(http.MethodPost, "limits", func(o operator.Operations, ctx context.Context, in limitsInput) ([]operator.Limit, error) {
		return o.Limits(ctx, in.Who)
	})
	resetLimits = define(http.MethodDelete, "limits", func(o operator.Operations, ctx context.Context, in limitsInput) (operator.LimitsReset, error) {
		return o.ResetLimits(ctx, in.Who)
	})
	diagnose = define(http.MethodPost, "doctor", func(o operator.Operations, ctx context.Context, in diagnoseInput) ([]doctor.Finding, error) {
		return o.Diagnose(ctx, in.To)
	})
	endRestored = define(http.MethodPost, "restored", withoutInput(operator.Operations.EndRestored))
	listNodes   = define(http.MethodGet, "nodes", withoutInput(operator.Operations.Nodes))
	reseal      = define(http.MethodPost, "reseal", withoutInput(operator.Operations.Reseal))
	backupInfo  = define(http.MethodGet, "backup_info", withoutInput(operator.Operations.BackupInfo))
	masterKeys  = define(http.MethodGet, "master_keys", withoutInput(operator.Operations.MasterKeys))
	backup      = defineStream(http.MethodGet, "backup", serveBackup)
)

// Inputs that package operator takes as arguments.
type (
	accountInput struct {
		Who string `json:"who"`
	}
	historyInput struct {
		Who string `json:"who"`
		N   int    `json:"n"`
	}
	siteInput struct {
		Site string `json:"site"`
	}
	idInput struct {
		ID string `json:"id"`
	}
	changeInput struct {
		Who    string                 `json:"who"`
		Change operator.AccountChange `json:"change"`
	}
	limitsInput struct {
		Who []string `json:"who"`
	}
	diagnoseInput struct {
		To string `json:"to"`
	}
	keyInput struct {
		audience string
		sign     bool
	}
	none struct{}
)

// queryWriter is an input that travels in the query; queryReader reads it there.
type (
	queryWriter interface{ query() url.Values }
	queryReader interface{ readQuery(q url.Values) }
)

func (in keyInput) query() url.Values {
	q := url.Values{"audience": {in.audience}}
	if in.sign {
		q.Set("use", "sign_key")
	}
	return q
}

func (in *keyInput) readQuery(q url.Values) {
	*in = keyInput{q.Get("audience"), q.Get("use") == "sign_key"}
}

// method is a method of [operator.Operations] with one argument beside the context.
type method[In, Out any] func(o operator.Operations, ctx context.Context, in In) (Out, error)

func forAccount[Out any](m method[string, Out]) method[accountInput, Out] {
	return func(o operator.Operations, ctx context.Context, in accountInput) (Out, error) {
		return m(o, ctx, in.Who)
	}
}

func forID[Out any](m method[string, Out]) method[idInput, Out] {
	return func(o operator.Operations, ctx context.Context, in idInput) (Out, error) { return m(o, ctx, in.ID) }
}

func withoutInput[Out any](m func(o operator.Operations, ctx context.Context) (Out, error)) method[none, Out] {
	return func(o operator.Operations, ctx context.Context, _ none) (Out, error) { return m(o, ctx) }
}

// stream is an operation whose input or answer is too long for one JSON value.
type stream struct{ method, path string }

// operation is one whose input is one JSON value, or a query, and whose answer is one JSON value.
type operation[In, Out any] stream

// handlers are what the endpoint answers with, by method and path.
var handlers = map[string]func(request) error{}

func defineStream(method, path string, serve func(request) error) stream {
	handlers[method+" "+path] = serve
	return stream{method, path}
}

func define[In, Out any](verb, path string, run method[In, Out]) operation[In, Out] {
	return operation[In, Out](defineStream(verb, path, func(r request) error {
		in, err := input[In](r.Request)
		if err != nil {
			return err
		}
		out, err := run(r.operations, r.Context(), in)
		if err != nil {
			return err
		}
		return r.answer(out)
	}))
}

// input reads the input of an operation.
func input[In any](r *http.Request) (in In, err error) {
	switch reader := any(&in).(type) {
	case *none:
		return in, nil
	case queryReader:
		reader.readQuery(r.URL.Query())
		return in, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return in, invalid("reading the request: %v", err)
	}
	if len(body) > maxBody {
		return in, &operator.Error{Kind: operator.TooLarge, Message: "the request is too large"}
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return in, invalid("the request is not what was expected: %v", err)
	}
	return in, nil
}

// call asks a running Caddy for an operation.
func call[In, Out any](ctx context.Context, c *Client, op operation[In, Out], in In) (out Out, err error) {
	var query url.Values
	var body any
	switch writer := any(in).(type) {
	case none:
	case queryWriter:
		query = writer.query()
	default:
		body = in
	}
	err = c.send(ctx, stream(op), query, body, &out)
	return out, err
}
