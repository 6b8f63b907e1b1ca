package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
)

// sample is a value whose fields are all set, so that one that is lost on the way is missed.
func sample[T any]() (v T) {
	fill(reflect.ValueOf(&v).Elem())
	return v
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(v.Type()) {
			if f.IsExported() && f.Tag.Get("json") != "-" {
				fill(v.FieldByIndex(f.Index))
			}
		}
	}
}

// recorder is operations that note how they were asked, and answer with samples.
type recorder struct{ asked []any }

func record[T any](r *recorder, args ...any) (T, error) {
	r.asked = args
	return sample[T](), nil
}

func (r *recorder) SendTest(_ context.Context, in operator.TestMail) (operator.TestSent, error) {
	return record[operator.TestSent](r, "SendTest", in)
}

func (r *recorder) Diagnose(_ context.Context, to string) ([]doctor.Finding, error) {
	return record[[]doctor.Finding](r, "Diagnose", to)
}

func (r *recorder) AddAccount(_ context.Context, in operator.AccountInput) (operator.AddedAccount, error) {
	return record[operator.AddedAccount](r, "AddAccount", in)
}

func (r *recorder) Accounts(_ context.Context, each func(operator.Account) error) error {
	r.asked = []any{"Accounts"}
	return each(sample[operator.Account]())
}

func (r *recorder) Account(_ context.Context, who string) (operator.AccountDetails, error) {
	return record[operator.AccountDetails](r, "Account", who)
}

func (r *recorder) Import(_ context.Context, in io.Reader, o operator.ImportOptions) (operator.ImportReport, error) {
	text, _ := io.ReadAll(in)
	return record[operator.ImportReport](r, "Import", string(text), o)
}

func (r *recorder) Export(_ context.Context, passwords bool, each func(transfer.Row) error) error {
	r.asked = []any{"Export", passwords}
	return each(sample[transfer.Row]())
}

func (r *recorder) ChangeAccount(_ context.Context, who string, change operator.AccountChange) (operator.ChangedAccount, error) {
	return record[operator.ChangedAccount](r, "ChangeAccount", who, change)
}

func (r *recorder) DeleteAccount(_ context.Context, who string) (operator.ChangedAccount, error) {
	return record[operator.ChangedAccount](r, "DeleteAccount", who)
}

func (r *recorder) Invite(_ context.Context, in operator.InvitationInput) (operator.Invitation, error) {
	return record[operator.Invitation](r, "Invite", in)
}

func (r *recorder) Invitations(context.Context) ([]operator.Invitation, error) {
	return record[[]operator.Invitation](r, "Invitations")
}

func (r *recorder) RevokeInvitations(_ context.Context, which string) ([]operator.Invitation, error) {
	return record[[]operator.Invitation](r, "RevokeInvitations", which)
}

func (r *recorder) EndSessions(_ context.Context, who string) (operator.EndedSessions, error) {
	return record[operator.EndedSessions](r, "EndSessions", who)
}

func (r *recorder) Sessions(_ context.Context, who string) ([]operator.Session, error) {
	return record[[]operator.Session](r, "Sessions", who)
}

func (r *recorder) AllSessions(_ context.Context, site string, each func(operator.Session) error) error {
	r.asked = []any{"AllSessions", site}
	return each(sample[operator.Session]())
}

func (r *recorder) Explain(_ context.Context, q operator.ExplainQuery) (operator.Explanation, error) {
	return record[operator.Explanation](r, "Explain", q)
}

func (r *recorder) History(_ context.Context, who string, n int) ([]operator.Event, error) {
	return record[[]operator.Event](r, "History", who, n)
}

func (r *recorder) CreateToken(_ context.Context, in operator.MachineTokenInput) (operator.MachineToken, error) {
	return record[operator.MachineToken](r, "CreateToken", in)
}

func (r *recorder) Tokens(_ context.Context, who string) ([]operator.MachineToken, error) {
	return record[[]operator.MachineToken](r, "Tokens", who)
}

func (r *recorder) RevokeToken(_ context.Context, id string) (operator.MachineToken, error) {
	return record[operator.MachineToken](r, "RevokeToken", id)
}

func (r *recorder) MakeLink(_ context.Context, in operator.LinkInput) (operator.Link, error) {
	return record[operator.Link](r, "MakeLink", in)
}

func (r *recorder) AudienceKey(_ context.Context, audience string, sign bool) (operator.AudienceKey, error) {
	return record[operator.AudienceKey](r, "AudienceKey", audience, sign)
}

func (r *recorder) SigningKeys(context.Context) ([]operator.SigningKey, error) {
	return record[[]operator.SigningKey](r, "SigningKeys")
}

func (r *recorder) Nodes(context.Context) ([]operator.Node, error) {
	return record[[]operator.Node](r, "Nodes")
}

func (r *recorder) Reseal(context.Context) (operator.Resealed, error) {
	return record[operator.Resealed](r, "Reseal")
}

func (r *recorder) EndRestored(context.Context) (operator.EndedRestored, error) {
	return record[operator.EndedRestored](r, "EndRestored")
}

func (r *recorder) RotateKey(context.Context) (operator.Rotated, error) {
	return record[operator.Rotated](r, "RotateKey")
}

func (r *recorder) Mails(context.Context) ([]operator.Mail, error) {
	return record[[]operator.Mail](r, "Mails")
}

func (r *recorder) RetryMail(_ context.Context, id string) (operator.Retried, error) {
	return record[operator.Retried](r, "RetryMail", id)
}

func (r *recorder) Events(_ context.Context, q operator.EventQuery) ([]operator.Event, error) {
	return record[[]operator.Event](r, "Events", q)
}

func (r *recorder) Limits(_ context.Context, who []string) ([]operator.Limit, error) {
	return record[[]operator.Limit](r, "Limits", who)
}

func (r *recorder) ResetLimits(_ context.Context, who []string) (operator.LimitsReset, error) {
	return record[operator.LimitsReset](r, "ResetLimits", who)
}

func (r *recorder) BackupInfo(context.Context) (operator.BackupInfo, error) {
	return record[operator.BackupInfo](r, "BackupInfo")
}

func (r *recorder) MasterKeys(context.Context) (string, error) {
	return record[string](r, "MasterKeys")
}

func (r *recorder) Backup(_ context.Context, w io.Writer) error {
	r.asked = []any{"Backup"}
	_, err := io.WriteString(w, "text")
	return err
}

// TestOperations_ArriveWhole calls every method of operator.Operations once over HTTP and once directly: the same method is
// reached with the same arguments, and the same comes back.
func TestOperations_ArriveWhole(t *testing.T) {
	t.Parallel()
	behind := new(recorder)
	var urls []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		urls = append(urls, r.URL.String())
		if err := Serve(behind, w, r); err != nil {
			t.Error(r.Method, r.URL, err)
		}
	}))
	t.Cleanup(server.Close)
	client, err := Connect(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for m := range reflect.TypeFor[operator.Operations]().Methods() {
		behind.asked = nil
		over := results(t, client, m)
		asked := behind.asked
		directly := new(recorder)
		if d := cmp.Diff(results(t, directly, m), over); d != "" {
			t.Errorf("%s answers: %s", m.Name, d)
		}
		if d := cmp.Diff(directly.asked, asked); d != "" || len(asked) == 0 || asked[0] != m.Name {
			t.Errorf("%s asks for: %s", m.Name, d)
		}
	}
	if len(urls) != len(handlers) {
		t.Errorf("%d requests for %d operations", len(urls), len(handlers))
	}
	for _, one := range urls {
		if plain, err := url.PathUnescape(one); err != nil || strings.Contains(plain, "@") {
			t.Errorf("LOG-1: an address in %s, which Caddy logs", one)
		}
	}
}

// results calls a method and returns what it answers, calls back and writes, as JSON.
func results(t *testing.T, o operator.Operations, m reflect.Method) (list []string) {
	t.Helper()
	args := []reflect.Value{reflect.ValueOf(t.Context())}
	var written bytes.Buffer
	for i := 1; i < m.Type.NumIn(); i++ {
		switch kind := m.Type.In(i); {
		case kind == reflect.TypeFor[io.Writer]():
			args = append(args, reflect.ValueOf(&written))
		case kind == reflect.TypeFor[io.Reader]():
			args = append(args, reflect.ValueOf(strings.NewReader("you@example.com")))
		case kind.Kind() == reflect.Func:
			args = append(args, reflect.MakeFunc(kind, func(in []reflect.Value) []reflect.Value {
				list = append(list, asJSON(t, in[0]))
				return []reflect.Value{reflect.Zero(reflect.TypeFor[error]())}
			}))
		default:
			v := reflect.New(kind).Elem()
			fill(v)
			if kind.Kind() == reflect.String && m.Name != "AudienceKey" {
				v.SetString("you@example.com")
			}
			args = append(args, v)
		}
	}
	for _, out := range reflect.ValueOf(o).MethodByName(m.Name).Call(args) {
		list = append(list, asJSON(t, out))
	}
	return append(list, written.String())
}

func asJSON(t *testing.T, v reflect.Value) string {
	t.Helper()
	text, err := json.Marshal(v.Interface())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
