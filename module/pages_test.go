package module_test

import (
	"regexp"
	"slices"
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
		{"two paths", "app.example.com {\n\t@app path /a/* /b/*\n\thandle @app {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "before the handle blocks, with a matcher behind it for what needs signing in", ""},
		{"a path with a space", "app.example.com {\n\thandle \"/my files/*\" {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "before the handle blocks, with a matcher behind it for what needs signing in", ""},
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
		{"a rewrite to a file before it", "app.example.com {\n\troute {\n\t\ttry_files {path} /index.php\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", "Caddyfile:13: email_link: its pages at /email-link are not reached where 'try_files'"},
		{"a rewrite of its pages before it", "app.example.com {\n\troute {\n\t\trewrite /email-link/* /gone\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "Caddyfile:13: email_link: its pages at /email-link are not reached, because 'rewrite /gone' before it changes their path, so nobody could sign in; put email_link before it", ""},
		{"a rewrite of all below a prefix", "app.example.com {\n\troute {\n\t\t@all path /*\n\t\trewrite @all /app{uri}\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "put email_link before it", ""},
		{"a replacement before it", "app.example.com {\n\troute {\n\t\turi replace /email-link /x\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "because 'uri replace /email-link /x' before it changes their path", ""},
		{"a pattern replaced before it", "app.example.com {\n\troute {\n\t\turi path_regexp ^/email- /x-\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "because 'uri path_regexp ^/email- /x-' before it changes their path", ""},
		{"a prefix stripped before it", "app.example.com {\n\troute {\n\t\turi /email-link/* strip_prefix /email-link\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "put email_link before it", ""},
		{"a rewrite to what the client says", "app.example.com {\n\troute {\n\t\trewrite /email-link/* {query.to}\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", "where 'rewrite {http.request.uri.query.to}' before it changes their path"},
		{"a rewrite by a header before it", "app.example.com {\n\troute {\n\t\t@old header X-Old 1\n\t\trewrite @old /old{uri}\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", "are not reached where 'rewrite /old{http.request.uri}' before it changes their path"},
		{"a rewrite in one of two branches", "app.example.com {\n\troute {\n\t\thandle /email-link/* {\n\t\t\trewrite /gone\n\t\t}\n\t\thandle {\n\t\t\theader X-A b\n\t\t}\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "because 'rewrite /gone' before it", ""},
		{"rewrites of other paths before it", "app.example.com {\n\troute {\n\t\trewrite /old/* /new{uri}\n\t\turi replace /docs/ /v1/\n\t\turi query a b\n\t\trewrite ?a=b\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{"rewrites in the usual order", "app.example.com {\n\temail_link\n\trewrite /email-link/* /gone\n\ttry_files {path} /index.php\n\treverse_proxy localhost:3000\n}\n", "", ""},
		{"behind handle_path", "app.example.com {\n\thandle_path /photos/* {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "Caddyfile:12: email_link: it stands behind 'handle_path", ""},
		{"before handle_path, as it says", "app.example.com {\n\temail_link /photos/*\n\thandle_path /photos/* {\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
	})
}

// TestCONF4_Reached warns of gates that guard nothing.
func TestCONF4_Reached(t *testing.T) {
	checkShapes(t, []shape{
		{"behind a handle of all paths", "app.example.com {\n\thandle /* {\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", "Caddyfile:15: email_link: no request comes to it, because 'reverse_proxy localhost:3000' of app.example.com (path /*) before it answers all of them"},
		{"behind an answer", "app.example.com {\n\troute {\n\t\trespond \"hi\"\n\t\temail_link\n\t}\n}\n", "", "Caddyfile:13: email_link: no request comes to it, because 'respond' of app.example.com (without a matcher) before it"},
		{"behind a redirect", "app.example.com {\n\tredir https://b.example.com{uri}\n\temail_link\n\treverse_proxy localhost:3000\n}\n", "", "no request comes to it"},
		{"behind files", "app.example.com {\n\troute {\n\t\tfile_server\n\t\temail_link\n\t}\n}\n", "", "because 'file_server' of app.example.com"},
		{"of another host than the site's", "app.example.com {\n\t@b host b.example.com\n\thandle @b {\n\t\temail_link\n\t}\n\trespond 404\n}\n", "", "no request comes to it"},
		{"behind a handle of some paths", "app.example.com {\n\thandle /open/* {\n\t\trespond 204\n\t}\n\thandle {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{"in handle_errors alone", "app.example.com {\n\treverse_proxy localhost:3000\n\thandle_errors {\n\t\temail_link\n\t\trespond \"sorry\"\n\t}\n}\n", "", "Caddyfile:13: email_link: it stands in handle_errors alone, so it guards error pages and nothing else of app.example.com"},
		{"in handle_errors of one site alone", "a.example.com {\n\temail_link\n\treverse_proxy localhost:3000\n}\n\nb.example.com {\n\trespond 204\n\thandle_errors {\n\t\temail_link\n\t\trespond \"sorry\"\n\t}\n}\n", "", "Caddyfile:18: email_link: it stands in handle_errors alone"},
		{"in handle_errors beside a route that is open", "app.example.com {\n\temail_link off\n\treverse_proxy localhost:3000\n\thandle_errors {\n\t\temail_link\n\t\trespond \"sorry\"\n\t}\n}\n", "", "it stands in handle_errors alone"},
		{"in handle_errors as well", "app.example.com {\n\temail_link\n\treverse_proxy localhost:3000\n\thandle_errors {\n\t\temail_link\n\t\trespond \"sorry\"\n\t}\n}\n", "", ""},
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
		{"nothing behind it", "http://:9091 {\n\temail_link {\n\t\tverify from 127.0.0.1\n\t}\n}\n", "Caddyfile:12: email_link: nothing answers behind it, where Caddy says an empty 200 to everybody who is signed in, and a proxy that asks at a wrong path takes that for yes; write 'respond 404' behind it", ""},
		{"an answer to some paths behind it", "http://:9091 {\n\temail_link {\n\t\tverify from 127.0.0.1\n\t}\n\trespond /x 404\n}\n", "nothing answers behind it", ""},
		{"nothing behind one of two", "http://:9091 {\n\t@app host app.example.com\n\thandle @app {\n\t\temail_link {\n\t\t\tverify from 127.0.0.1\n\t\t}\n\t}\n\thandle {\n\t\trespond 403\n\t}\n}\n", "nothing answers behind it", ""},
		{"another directive alone behind it", "http://:9091 {\n\temail_link {\n\t\tverify from 127.0.0.1\n\t}\n\theader X-A b\n}\n", "nothing answers behind it", ""},
		{"an abort behind it", "http://:9091 {\n\temail_link {\n\t\tverify from 127.0.0.1\n\t}\n\tabort\n}\n", "", ""},
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

// TestPATH1_PublicSuffixesAreTold makes sure that the start and doctor learn of patterns that open every app whose addresses go on
// behind a file's name.
func TestPATH1_PublicSuffixesAreTold(t *testing.T) {
	app, err := provisioned(t, global+"app.example.com {\n\temail_link {\n\t\t@assets path *.css /open/* *.png\n\t\tpublic @assets\n\t}\n\treverse_proxy localhost:3000\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := app.OpenSuffixes(); !slices.Equal(got, []string{"*.css", "*.png"}) {
		t.Errorf("patterns that begin with a star: %q", got)
	}
}
