package module_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestCONF4_Pages refuses a gate whose own pages are not reached, and warns where that depends on more than the address.
func TestCONF4_Pages(t *testing.T) {
	checkShapes(t, []shape{
		{"in a handle of a path", "app.example.com {\n\thandle /app/* {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "Caddyfile:12: email_link: its pages at /email-link are not reached at app.example.com (path /app/*), so nobody could sign in; write 'path /app/email-link' in it, or 'email_link /app/*' in the site itself", ""},
		{"as it says", "app.example.com {\n\thandle /app/* {\n\t\temail_link {\n\t\t\tpath /app/email-link\n\t\t}\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{"in the site, as it says", "app.example.com {\n\temail_link /app/*\n\thandle /app/* {\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{"with a path of its own", "app.example.com {\n\thandle /app/* {\n\t\temail_link {\n\t\t\tpath /auth\n\t\t}\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "write 'path /app/auth' in it", ""},
		{"two apps, each with its pages", "app.example.com {\n\thandle /a/* {\n\t\temail_link {\n\t\t\tpath /a/auth\n\t\t}\n\t\treverse_proxy localhost:3001\n\t}\n\thandle /b/* {\n\t\temail_link {\n\t\t\tpath /b/auth\n\t\t}\n\t\treverse_proxy localhost:3002\n\t}\n}\n", "", ""},
		{"pages of another handle", "app.example.com {\n\thandle /admin/* {\n\t\temail_link {\n\t\t\trequire role admin\n\t\t}\n\t\treverse_proxy localhost:3001\n\t}\n\thandle {\n\t\temail_link\n\t\treverse_proxy localhost:3002\n\t}\n}\n", "", ""},
		{"one path exactly", "app.example.com {\n\thandle /app {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "write 'email_link /app' in the site itself", ""},
		{"a method", "app.example.com {\n\t@posts method POST\n\thandle @posts {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "(method POST), so nobody could sign in", ""},
		{"a negated path", "app.example.com {\n\t@rest not path /email-link/*\n\thandle @rest {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "(not path /email-link/*), so nobody could sign in", ""},
		{"a pattern", "app.example.com {\n\t@app path_regexp ^/app/\n\thandle @app {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "so nobody could sign in", ""},
		{"a route before it", "app.example.com {\n\thandle /email-link/* {\n\t\treverse_proxy localhost:3001\n\t}\n\thandle {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "so nobody could sign in", ""},
		{"a site in a path", "app.example.com/app/* {\n\temail_link\n\treverse_proxy localhost:3000\n}\n", "write 'path /app/email-link' in it", ""},
		{"everything but some paths", "app.example.com {\n\t@rest not path /feed/*\n\thandle @rest {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{"a network", "app.example.com {\n\t@lan remote_ip 10.0.0.0/8\n\thandle @lan {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", "its pages at /email-link are reached only where the matchers before it let a request through (remote_ip 10.0.0.0/8)"},
		{"a header", "app.example.com {\n\t@api header X-Api 1\n\thandle @api {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", "(header X-Api 1)"},
		{"an expression", "app.example.com {\n\t@x expression `{query.x} == \"1\"`\n\thandle @x {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", "are reached only where"},
		{"hard deniers before it", "app.example.com {\n\t@bots header User-Agent *bot*\n\trespond @bots 403\n\t@wp path /wp-admin/*\n\tabort @wp\n\temail_link\n\treverse_proxy localhost:3000\n}\n", "", ""},
		{"an inner one anywhere", "app.example.com {\n\temail_link\n\thandle /admin/* {\n\t\temail_link {\n\t\t\trequire role admin\n\t\t}\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{"wildcard, a handle of another host", "*.example.com {\n\t@a host a.example.com\n\thandle @a {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\tabort\n\t}\n}\n", "", ""},
		{"behind handle_path", "app.example.com {\n\thandle_path /photos/* {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "Caddyfile:12: email_link: it stands behind 'handle_path", ""},
		{"before handle_path, as it says", "app.example.com {\n\temail_link /photos/*\n\thandle_path /photos/* {\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
	})
}

// TestCONF5_Validate refuses forward-auth that fails open: a proxy takes each 2xx for yes, whoever has given it.
func TestCONF5_Validate(t *testing.T) {
	const gate = " {\n\temail_link {\n\t\tverify from 127.0.0.1\n\t}\n\trespond 404\n}\n\n"
	checkShapes(t, []shape{
		{"any host", "http://:9091" + gate, "", ""},
		{"one host", "http://app.example.com:9091" + gate, "Caddyfile:12: email_link: verify answers at :9091, where Caddy says an empty 200 to questions for hosts that no site names", ""},
		{"one host and a refusal", "http://app.example.com:9091" + gate + "http://:9091 {\n\trespond 404\n}\n", "", ""},
		{"one host and an abort", "http://app.example.com:9091" + gate + "http://:9091 {\n\tabort\n}\n", "", ""},
		{"one host and an error", "http://app.example.com:9091" + gate + "http://:9091 {\n\terror 403\n}\n", "", ""},
		{"an error that becomes a 200", "http://app.example.com:9091" + gate + "http://:9091 {\n\terror 403\n\thandle_errors {\n\t\trespond \"sorry\" 200\n\t}\n}\n", "which can say 2xx", ""},
		{"an error with a page", "http://app.example.com:9091" + gate + "http://:9091 {\n\terror 403\n\thandle_errors {\n\t\trespond \"sorry\"\n\t}\n}\n", "", ""},
		{"one host and a redirect", "http://app.example.com:9091" + gate + "http://:9091 {\n\tredir https://app.example.com{uri}\n}\n", "", ""},
		{"one host and another gate", "http://app.example.com:9091" + gate + "http://:9091 {\n\temail_link\n\trespond 404\n}\n", "", ""},
		{"another gate with other pages", "http://app.example.com:9091" + gate + "http://:9091 {\n\temail_link {\n\t\tbase_url https://b.example.org\n\t\tpath /auth\n\t}\n\treverse_proxy localhost:3000\n}\n", "'reverse_proxy localhost:3000' of any host at :9091", ""},
		{"a refusal on another port", "http://app.example.com:9091" + gate + "http://:9092 {\n\trespond 404\n}\n", "write beside this site:", ""},
		{"a refusal of some paths", "http://app.example.com:9091" + gate + "http://:9091 {\n\trespond /x 404\n}\n", "empty 200", ""},
		{"a default text", "http://app.example.com:9091" + gate + "http://:9091 {\n\trespond \"hello\"\n}\n", "verify answers at the same address as 'respond' of any host at :9091", ""},
		{"a default status", "http://app.example.com:9091" + gate + "http://:9091 {\n\trespond 200\n}\n", "'respond' of any host at :9091", ""},
		{"a status of the request's", "http://app.example.com:9091" + gate + "http://:9091 {\n\trespond {query.status}\n}\n", "'respond' of any host", ""},
		{"default files", "http://app.example.com:9091" + gate + "http://:9091 {\n\tfile_server\n}\n", "'file_server' of any host at :9091", ""},
		{"a default backend", "http://app.example.com:9091" + gate + "http://:9091 {\n\treverse_proxy localhost:3000\n}\n", "'reverse_proxy localhost:3000' of any host at :9091", ""},
		{"another site without a gate", "http://:9091" + gate + "http://status.example.com:9091 {\n\trespond \"up\"\n}\n", "'respond' of status.example.com", ""},
		{"another site that ends", "http://:9091" + gate + "http://status.example.com:9091 {\n\theader X-A b\n}\n", "the site status.example.com, where Caddy says an empty 200", ""},
		{"another site with one path", "http://:9091" + gate + "http://status.example.com:9091 {\n\trespond /up 200\n\trespond 404\n}\n", "", ""},
		{"a star and the rest", "http://*.example.com:9091" + gate + "http://:9091 {\n\trespond 404\n}\n", "", ""},
		{"a star alone", "http://*.example.com:9091" + gate, "hosts that no site names", ""},
		{"metrics of another host", "http://:9091" + gate + "http://m.example.com:9091 {\n\troute {\n\t\tmetrics\n\t\trespond 404\n\t}\n}\n", "'metrics' of m.example.com", ""},
		{"a handle for each host", "http://:9091 {\n\t@app host app.example.com\n\thandle @app {\n\t\temail_link {\n\t\t\tverify from 127.0.0.1\n\t\t}\n\t\trespond 404\n\t}\n}\n", "empty 200", ""},
		{"a handle for each host and one that refuses", "http://:9091 {\n\t@app host app.example.com\n\thandle @app {\n\t\temail_link {\n\t\t\tverify from 127.0.0.1\n\t\t}\n\t\trespond 404\n\t}\n\thandle {\n\t\trespond 403\n\t}\n}\n", "", ""},
		{"a default answer behind it", "http://:9091 {\n\temail_link {\n\t\tverify from 127.0.0.1\n\t}\n\trespond \"hello\"\n}\n", "Caddyfile:12: email_link: behind it 'respond' of any host at :9091", ""},
		{"https", "app.example.com" + gate, "\thttps://:443 {\n\t\trespond 404\n\t}", ""},
		{"an app behind it", "app.example.com {\n\temail_link {\n\t\tverify from 127.0.0.1\n\t}\n\treverse_proxy localhost:3000\n}\n\nhttps://:443 {\n\trespond 404\n}\n", "", ""},
		{"off for the rest", "http://app.example.com:9091" + gate + "http://:9091 {\n\temail_link off\n}\n", "empty 200", ""},
	})
}

// TestCONF5_Obey writes what the refusals say, and has it accepted.
func TestCONF5_Obey(t *testing.T) {
	lines := regexp.MustCompile(`(?s)write beside this site:\n(.*\n\t\})`)
	for name, site := range map[string]string{
		"http":       "http://app.example.com:9091 {\n%s}\n",
		"loopback":   "http://app.example.com:9091 {\n\tbind 127.0.0.1 [::1]\n%s}\n",
		"https":      "app.example.com {\n%s}\n",
		"https port": "https://app.example.com:8443, https://a.example.com:8443 {\n%s}\n",
		"star":       "http://*.example.com:9091 {\n%s}\n",
	} {
		t.Run(name, func(t *testing.T) {
			config := global + strings.Replace(site, "%s", "\temail_link {\n\t\tverify from 127.0.0.1\n\t}\n\trespond 404\n", 1)
			_, err := provision(t, config)
			if err == nil {
				t.Fatal("accepted")
			}
			written := lines.FindStringSubmatch(err.Error())
			if written == nil {
				t.Fatalf("no lines to write in %v", err)
			}
			if _, err := provision(t, config+"\n"+written[1]+"\n"); err != nil {
				t.Errorf("with\n%s\n%v", written[1], err)
			}
		})
	}
}
