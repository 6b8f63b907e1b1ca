package module_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestCONF3_Obey writes what the refusals say, and has it accepted.
func TestCONF3_Obey(t *testing.T) {
	const gate = "email_link {\n\t\theaders {\n\t\t\tX-Staff {http.auth.user.email}\n\t\t}\n\t}\n"
	guarded := regexp.MustCompile(`(?s)(@guarded not [^\n]*?)' and 'email_link @guarded'|'email_link @guarded' and\n(\t@guarded \{\n.*?\n\t\})\n`)
	public := regexp.MustCompile("'(public [^']*)' in it")
	const words = "with a matcher that leaves out what this route takes ("
	for _, one := range []struct{ name, matcher, way string }{
		{"a network", "remote_ip 10.0.0.0/8", "guarded"},
		{"a client's network", "client_ip 10.0.0.0/8 192.168.0.0/16", "guarded"},
		{"two matchers", "{\n\tpath /rest/*\n\tremote_ip 10.0.0.0/8\n}", "guarded"},
		{"a method", "method PUT DELETE", "guarded"},
		{"a query", "query a=b c=*", "guarded"},
		{"a query with a space", "query \"a=b c\"", "guarded"},
		{"no query", "query \"\"", "words"},
		{"a header", "header X-Api \"a b\"", "guarded"},
		{"no header", "header !X-Api", "words"},
		{"two headers", "{\n\theader X-Api 1\n\theader X-Key 2\n}", "words"},
		{"a header pattern", "header_regexp X-Api ^a\\d+\\s\"$", "guarded"},
		{"a path pattern", "path_regexp ^/a\\.b/(x|y)$", "guarded"},
		{"an expression", "expression `{query.x} == \"1\" && path('/a')`", "guarded"},
		{"an expression of its own", "`{query.x} == \"1\"`", "guarded"},
		{"files", "file /a {path}", "words"},
		{"a protocol", "protocol http", "guarded"},
		{"a variable", "vars {http.vars.x} y", "words"},
		{"not a path", "not path /app/* /email-link/*", "guarded"},
		{"not two things", "{\n\tnot path /app/* /email-link/*\n\tnot remote_ip 10.0.0.0/8\n}", "guarded"},
		{"not both", "not {\n\tpath /app/* /email-link/*\n\tmethod GET POST\n}", "guarded"},
		{"a host inside not", "{\n\tnot host b.example.com\n\tremote_ip 10.0.0.0/8\n}", "guarded"},
		{"a host and a path", "{\n\thost app.example.com\n\tpath /rest/*\n}", "guarded"},
		{"a path", "path /rest/*", "public"},
		{"two paths", "path /rest/* /feed", "public"},
		{"a path with a space", "path \"/my files/*\"", "public"},
		{"a path with a quote", "path `/a\"b`", "public"},
	} {
		t.Run(one.name, func(t *testing.T) {
			site := func(before, inner string) string {
				return global + "app.example.com, b.example.com {\n" + before + "\t@open " + one.matcher + "\n\thandle @open {\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\t" + inner + "\t\treverse_proxy localhost:3000\n\t}\n}\n"
			}
			_, err := provision(t, site("", gate))
			if err == nil || !strings.Contains(err.Error(), "is also reached past it") {
				t.Fatalf("got %v, want a refusal of the route past the gate", err)
			}
			text := err.Error()
			var written string
			switch lines, open := guarded.FindStringSubmatch(text), public.FindStringSubmatch(text); {
			case lines != nil && one.way == "guarded":
				written = lines[1] + lines[2] + "\n" + strings.Replace(gate, "email_link", "email_link @guarded", 1)
			case open != nil && one.way == "public":
				written = strings.Replace(gate, "{\n", "{\n"+open[1]+"\n", 1)
			case one.way == "words" && strings.Contains(text, words) && !strings.Contains(text, "@guarded"):
				return
			default:
				t.Fatalf("no %s in %s", one.way, text)
			}
			if warnings, err := provision(t, site(written, "")); err != nil || warnings != "" {
				t.Errorf("with\n%s\n%v %s", written, err, warnings)
			}
		})
	}
}
