package module

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
)

// TestCFG1_EachRefusalOfADirectiveIsMet configures what must be refused, one thing at a time. Which refusals there are it reads from
// the source, so that a new one needs a line here.
func TestCFG1_EachRefusalOfADirectiveIsMet(t *testing.T) {
	some := caddyhttp.RawMatcherSets{{"path": []byte(`["/a"]`)}}
	from := func(peer string) *Handler { return &Handler{Verify: &Verify{From: []string{peer}}} }
	header := func(name, value string) *Handler { return &Handler{Headers: []Header{{Name: name, Value: value}}} }
	var told []string
	for name, h := range map[string]*Handler{
		"off, optional":              {Off: true, Optional: true},
		"optional, require role":     {Optional: true, Require: Require{Role: [][]string{{"admin"}}}},
		"optional, require email":    {Optional: true, Require: Require{Email: [][]string{{"*@example.com"}}}},
		"optional, require scope":    {Optional: true, Require: Require{Scope: [][]string{{machinetoken.People}}}},
		"optional, max_age":          {Optional: true, MaxAge: 1},
		"optional, a matcher":        {Optional: true, ProtectRaw: some},
		"optional, public":           {Optional: true, PublicRaw: some},
		"max_age below zero":         {MaxAge: -1},
		"service_workers off":        {ServiceWorkers: "off"},
		"portal on":                  {Portal: "on"},
		"path /":                     {Path: "/"},
		"path without a slash":       {Path: "login"},
		"path with one at its end":   {Path: "/login/"},
		"path with dots":             {Path: "/a/../b"},
		"path with an empty part":    {Path: "/a//b"},
		"path in capitals":           {Path: "/Login"},
		"sign_up everybody":          {SignUp: &SignUp{Policy: "everybody"}},
		"sign_up invite, a domain":   {SignUp: &SignUp{Policy: "invite", Domains: []string{"example.com"}}},
		"sign_up closed, a domain":   {SignUp: &SignUp{Policy: "closed", Domains: []string{"example.com"}}},
		"sign_up of no domain":       {SignUp: &SignUp{Policy: "open", Domains: []string{"example"}}},
		"verify from nobody":         {Verify: &Verify{}},
		"verify from a name":         from("proxy.internal"),
		"verify from beyond IPv4":    from("::ffff:0.0.0.0/95"),
		"verify from a host's bits":  from("10.0.0.1/8"),
		"verify from a zone":         from("fe80::1%eth0"),
		"require role of nothing":    {Require: Require{Role: [][]string{{}}}},
		"require role, empty":        {Require: Require{Role: [][]string{{""}}}},
		"require role, a comma":      {Require: Require{Role: [][]string{{"a,b"}}}},
		"require role, a control":    {Require: Require{Role: [][]string{{"a\x00"}}}},
		"require email of nothing":   {Require: Require{Email: [][]string{{}}}},
		"require email, no pattern":  {Require: Require{Email: [][]string{{"@"}}}},
		"require scope of nothing":   {Require: Require{Scope: [][]string{{}}}},
		"require scope, no scope":    {Require: Require{Scope: [][]string{{"Calendar"}}}},
		"header with _":              header("Remote_User", "x"),
		"header with a space":        header("Remote User", "x"),
		"header of HTTP":             header("Host", "x"),
		"header of cookies":          header("set-cookie", "x"),
		"header of our own":          header("email-link-start", "x"),
		"header of a placeholder":    header("Remote-User", "{http.auth.user.password}"),
		"headers twice":              {Headers: []Header{{"Remote-User", "x"}, {"REMOTEUSER", "x"}}},
		"headers, the assertion's":   {Headers: []Header{{"Remote-User", "x"}}, Identity: &Identity{Header: "remote-user"}},
		"identity format":            {Identity: &Identity{Format: "xml"}},
		"identity jws with a key":    {Identity: &Identity{Format: "jws", Key: "k"}},
		"identity none, sign_key":    {Identity: &Identity{Format: "none", SignKey: []string{"k"}}},
		"identity, one key":          {Identity: &Identity{Key: "k", SignKey: []string{"j", "k"}}},
		"identity ttl below zero":    {Identity: &Identity{TTL: caddy.Duration(-time.Second)}},
		"identity ttl too long":      {Identity: &Identity{TTL: caddy.Duration(MaxAssertionTTL + time.Second)}},
		"identity ttl of half a one": {Identity: &Identity{TTL: caddy.Duration(time.Second / 2)}},
		"identity header":            {Identity: &Identity{Header: "Cookie"}},
	} {
		if err := h.Check(); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			told = append(told, err.Error())
		}
	}
	for _, words := range refusalsOf(t, []string{"handler.go", "verify.go", "check.go"}, "Check", "parsePeer", "checkIdentity", "CheckPrefix", "CheckHeaders", "CheckHeaderName") {
		if !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, words) }) {
			t.Errorf("nothing here is refused with the words %q", words)
		}
	}
	for name, h := range map[string]*Handler{
		"nothing": {}, "optional": {Optional: true}, "off": {Off: true, Source: &Source{At: "Caddyfile:1"}},
		"much":            {MaxAge: 1, PublicRaw: some, ProtectRaw: some, Path: "/a/b-c", SignUp: &SignUp{Policy: "open", Domains: []string{"example.com"}}},
		"peers":           {Verify: &Verify{From: []string{"::ffff:10.0.0.0/104", "10.0.0.2", "2001:db8::/32", "{env.PEER}"}}},
		"who may pass":    {Require: Require{Role: [][]string{{"a", "b"}}, Email: [][]string{{"*@example.com"}}, Scope: [][]string{{"calendar", machinetoken.People}}}},
		"what goes along": {Headers: []Header{{"Remote-User", "{http.auth.user.email}"}}, Identity: &Identity{Format: "jwe", Key: "k", TTL: caddy.Duration(MaxAssertionTTL)}},
	} {
		if err := h.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCFG1_NoIdentityWhereClientsSendTheirs: in whatever spelling, since backends differ on which are one.
func TestCFG1_NoIdentityWhereClientsSendTheirs(t *testing.T) {
	for name, fits := range map[string]bool{
		"Authorization": false, "AUTHORIZATION": false, "authorization": false, "Proxy-Authorization": false, "X-Api-Key": false, "x-api-key": false,
		"Cookie": false, "COOKIE": false, "Email-Link-Done": false, "X.Api.Key": false, "X_Api_Key": false, "": false, "Remote User": false,
		"Remote-User": true, "X-Api-User": true,
	} {
		if err := CheckHeaderName(name); (err == nil) != fits {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestPATH1_AMethodThatDecidesIsTheClientsOwn: where a matcher of any handler of the host decides by the method, none of them lets a
// client have the app take another.
func TestPATH1_AMethodThatDecidesIsTheClientsOwn(t *testing.T) {
	plain, decides, nowhere := &Handler{}, &Handler{methodDecides: true}, &Handler{}
	for name, c := range map[string]struct {
		plain, other []string
		want         bool
	}{
		"one host":     {[]string{"a.example.com"}, []string{"A.example.com"}, true},
		"two hosts":    {[]string{"a.example.com"}, []string{"b.example.com"}, false},
		"one of two":   {[]string{"a.example.com", "b.example.com"}, []string{"b.example.com"}, true},
		"any host":     {nil, []string{"b.example.com"}, true},
		"a star":       {[]string{"a.example.com"}, []string{"*.example.com"}, true},
		"an unknown":   {[]string{"a.example.com"}, []string{"{env.HOST}"}, true},
		"another star": {[]string{"*.example.com"}, []string{"b.example.org"}, true}, // compared no further
	} {
		config := &configuration{positions: []*position{{handler: plain, hosts: c.plain}, {handler: decides, hosts: c.other}}}
		if got := config.methodDecides(plain); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		if !config.methodDecides(decides) || !config.methodDecides(nowhere) {
			t.Errorf("%s: not of its own matcher, or of a handler of unknown place", name)
		}
	}
}

// refusalsOf returns, of each error that functions of these names make, the longest part of its text that is always the same.
func refusalsOf(t *testing.T, files []string, names ...string) (list []string) {
	t.Helper()
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !slices.Contains(names, f.Name.Name) {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if words := madeBy(n); len(words) > 4 {
					list = append(list, words)
				}
				return true
			})
		}
	}
	if len(list) < len(names) {
		t.Fatalf("%d refusals of %q", len(list), names)
	}
	return list
}

// madeBy returns the longest constant part of the text of an error that a call makes, "" for what is no such call.
func madeBy(n ast.Node) (longest string) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return ""
	}
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || function.Sel.Name != "New" && function.Sel.Name != "Errorf" || len(call.Args) == 0 {
		return ""
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok {
		return ""
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil || function.Sel.Name == "New" {
		return text
	}
	for part := range strings.SplitSeq(text, "%") {
		if part = strings.TrimLeft(part, "qswvd"); len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}
