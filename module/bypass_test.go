package module_test

import "testing"

// plain is a gate that hands plain headers to its backend.
const plain = "email_link {\n\t\theaders {\n\t\t\tX-Staff {http.auth.user.email}\n\t\t}\n\t}\n"

// TestCONF3_Bypasses judges routes that reach a backend past the gate, and those that do not.
func TestCONF3_Bypasses(t *testing.T) {
	checkShapes(t, []shape{
		{"gate first", "app.example.com {\n\temail_link\n\treverse_proxy localhost:3000\n}\n", "", ""},
		{"gate first, static files and PHP behind it", "app.example.com {\n\temail_link\n\t@static path *.css\n\thandle @static {\n\t\tfile_server\n\t}\n\tphp_fastcgi localhost:9000\n\tfile_server\n}\n", "", ""},
		{"gate with a matcher", "app.example.com {\n\t@external not remote_ip private_ranges\n\t" + "email_link @external {\n\t\theaders {\n\t\t\tX-Staff {http.auth.user.email}\n\t\t}\n\t}\n\treverse_proxy localhost:3000\n}\n", "", ""},
		{"redir and respond before it", "app.example.com {\n\tredir /old /new\n\trespond /healthz 200\n\temail_link\n\treverse_proxy localhost:3000\n}\n", "", ""},
		{
			"network past it, plain headers", "app.example.com {\n\t@lan remote_ip 10.0.0.0/8\n\thandle @lan {\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\t" + plain + "\t\treverse_proxy localhost:3000\n\t}\n}\n",
			"Caddyfile:16: email_link: the backend behind it is also reached past it, by 'reverse_proxy localhost:3000' of app.example.com (remote_ip 10.0.0.0/8): there clients can send X-Staff themselves, and the backend believes it; write in the site itself, before the handle blocks, '@guarded not remote_ip 10.0.0.0/8'", "",
		},
		{
			"network past it", "app.example.com {\n\t@lan remote_ip 10.0.0.0/8\n\thandle @lan {\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n",
			"", "Caddyfile:16: email_link: the backend behind it is also reached past it, by 'reverse_proxy localhost:3000' of app.example.com (remote_ip 10.0.0.0/8)",
		},
		{
			"paths past it, plain headers", "app.example.com {\n\t@api path /rest/* /feed\n\thandle @api {\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\t" + plain + "\t\treverse_proxy localhost:3000\n\t}\n}\n",
			"with 'public /rest/* /feed' in it", "",
		},
		{"open on purpose, past it", "app.example.com {\n\t@lan remote_ip 10.0.0.0/8\n\thandle @lan {\n\t\temail_link off\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\t" + plain + "\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{
			"the same backend in other spellings", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\nopen.example.com {\n\treverse_proxy http://127.0.0.1:3000\n}\n",
			"'reverse_proxy 127.0.0.1:3000' of open.example.com (without a matcher)", "",
		},
		{"by IPv6", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\nopen.example.com {\n\treverse_proxy [::1]:3000\n}\n", "'reverse_proxy [::1]:3000' of open.example.com", ""},
		{"by port alone", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\nopen.example.com {\n\treverse_proxy :3000\n}\n", "'reverse_proxy :3000' of open.example.com", ""},
		{"in capitals", "app.example.com {\n\t" + plain + "\treverse_proxy Backend:3000\n}\n\nopen.example.com {\n\treverse_proxy backend:3000\n}\n", "of open.example.com", ""},
		{"one of several", "app.example.com {\n\t" + plain + "\treverse_proxy a:1 b:2\n}\n\nopen.example.com {\n\treverse_proxy c:3 b:2 {\n\t\tlb_policy first\n\t}\n}\n", "'reverse_proxy c:3 b:2' of open.example.com", ""},
		{"a socket", "app.example.com {\n\t" + plain + "\treverse_proxy unix//run/app.sock\n}\n\nopen.example.com {\n\treverse_proxy unix//run/../run/app.sock\n}\n", "of open.example.com", ""},
		{"two backends on one machine", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\nopen.example.com {\n\treverse_proxy localhost:3001\n}\n", "", ""},
		{"another port", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\n:8080 {\n\treverse_proxy localhost:3000\n}\n", "of any host at :8080 (without a matcher)", ""},
		{"another site, no plain headers", "app.example.com {\n\temail_link\n\treverse_proxy localhost:3000\n}\n\nopen.example.com {\n\treverse_proxy localhost:3000\n}\n", "", "of open.example.com (without a matcher)"},
		{"another site, open on purpose", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\nopen.example.com {\n\temail_link off\n\treverse_proxy localhost:3000\n}\n", "", ""},
		{"identity header alone", "app.example.com {\n\temail_link {\n\t\tidentity {\n\t\t\theader X-App\n\t\t}\n\t}\n\treverse_proxy localhost:3000\n}\n\nopen.example.com {\n\treverse_proxy localhost:3000\n}\n", "", "of open.example.com"},
		{
			"wildcard, a handle for each host", "*.example.com {\n\t@a host a.example.com\n\thandle @a {\n\t\t" + plain + "\t\treverse_proxy localhost:3000\n\t}\n\t@b host b.example.com\n\thandle @b {\n\t\treverse_proxy localhost:3001\n\t}\n\thandle {\n\t\tabort\n\t}\n}\n", "", "",
		},
		{
			"wildcard, one backend for two hosts", "*.example.com {\n\t@a host a.example.com\n\thandle @a {\n\t\t" + plain + "\t\treverse_proxy localhost:3000\n\t}\n\t@b host b.example.com\n\thandle @b {\n\t\treverse_proxy localhost:3000\n\t}\n}\n",
			"of b.example.com", "",
		},
		{
			"host below a negated matcher", "*.example.com {\n\t@rest not host a.example.com\n\thandle @rest {\n\t\treverse_proxy localhost:3001\n\t}\n\thandle {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", "",
		},
		{"a host inside not", "app.example.com, b.example.com {\n\t@open not host b.example.com\n\thandle @open {\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\t" + plain + "\t\treverse_proxy localhost:3000\n\t}\n}\n", "(not host b.example.com): there clients can send X-Staff themselves, and the backend believes it; write email_link before it, or", ""},
		{"handles in handles", "app.example.com {\n\t@lan remote_ip 10.0.0.0/8\n\thandle @lan {\n\t\thandle /rest/* {\n\t\t\treverse_proxy localhost:3000\n\t\t}\n\t}\n\thandle {\n\t\t" + plain + "\t\treverse_proxy localhost:3000\n\t}\n}\n", "'email_link @guarded' and\n\t@guarded {\n\t\tnot {\n\t\t\tremote_ip 10.0.0.0/8\n\t\t\tpath /rest/*\n\t\t}\n\t}\nor 'email_link off'", ""},
		{"paths in paths", "app.example.com {\n\thandle /a/* {\n\t\thandle /a/css/* {\n\t\t\treverse_proxy localhost:3000\n\t\t}\n\t}\n\thandle {\n\t\t" + plain + "\t\treverse_proxy localhost:3000\n\t}\n}\n", "with a matcher that leaves out what this route takes (path /a/*; path /a/css/*)", ""},
		{"paths behind handle_path", "app.example.com {\n\thandle_path /a/* {\n\t\t@b path_regexp ^/b/\n\t\thandle @b {\n\t\t\treverse_proxy localhost:3000\n\t\t}\n\t}\n\thandle {\n\t\t" + plain + "\t\treverse_proxy localhost:3000\n\t}\n}\n", "with a matcher that leaves out what this route takes (path /a/*; path_regexp b ^/b/)", ""},
		{"another backend of a gated host", "app.example.com {\n\thandle /files/* {\n\t\treverse_proxy localhost:3001\n\t}\n\thandle {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", "its site also has 'reverse_proxy localhost:3001' of app.example.com (path /files/*)"},
		{"files of a gated host", "app.example.com {\n\thandle /files/* {\n\t\tfile_server\n\t}\n\thandle {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", "its site also has 'file_server' of app.example.com (path /files/*)"},
		{"PHP of a gated host", "app.example.com {\n\thandle /blog/* {\n\t\tphp_fastcgi localhost:9000\n\t}\n\thandle {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", "'php_fastcgi localhost:9000' of app.example.com"},
		{"one PHP for two apps", "app.example.com {\n\troot /srv/app\n\t" + plain + "\tphp_fastcgi localhost:9000\n}\n\nblog.example.com {\n\troot /srv/blog\n\tphp_fastcgi localhost:9000\n}\n", "", ""},
		{"one PHP for one app", "app.example.com {\n\troot /srv/app\n\t" + plain + "\tphp_fastcgi localhost:9000\n}\n\nblog.example.com {\n\troot /srv/app\n\tphp_fastcgi localhost:9000\n}\n", "'php_fastcgi localhost:9000' of blog.example.com", ""},
		{"one PHP for one app, by its own root", "app.example.com {\n\troot /srv/app\n\t" + plain + "\tphp_fastcgi localhost:9000\n}\n\nblog.example.com {\n\tphp_fastcgi localhost:9000 {\n\t\troot /srv/app\n\t}\n}\n", "'php_fastcgi localhost:9000' of blog.example.com", ""},
		{"one PHP for one app, with a slash", "app.example.com {\n\troot /srv/app\n\t" + plain + "\tphp_fastcgi localhost:9000\n}\n\nblog.example.com {\n\troot /srv/x/../app/\n\tphp_fastcgi localhost:9000\n}\n", "'php_fastcgi localhost:9000' of blog.example.com", ""},
		{"one PHP for one app, by its transport", "app.example.com {\n\troot /srv/app\n\t" + plain + "\tphp_fastcgi localhost:9000\n}\n\nblog.example.com {\n\treverse_proxy localhost:9000 {\n\t\ttransport fastcgi {\n\t\t\troot /srv/app\n\t\t}\n\t}\n}\n", "'php_fastcgi localhost:9000' of blog.example.com", ""},
		{"one PHP for one app, below the root of the site", "app.example.com {\n\troot /srv/app\n\t" + plain + "\tphp_fastcgi localhost:9000\n}\n\nblog.example.com {\n\troot /srv\n\tphp_fastcgi localhost:9000 {\n\t\troot {vars.root}/app\n\t}\n}\n", "'php_fastcgi localhost:9000' of blog.example.com", ""},
		{"one PHP for one app, by a conditional root", "app.example.com {\n\troot /srv/app\n\t" + plain + "\tphp_fastcgi localhost:9000\n}\n\nblog.example.com {\n\troot /app/* /srv/app\n\tphp_fastcgi localhost:9000\n}\n", "'php_fastcgi localhost:9000' of blog.example.com", ""},
		{"one PHP for one app, by one of two roots", "app.example.com {\n\troot /srv/app\n\t" + plain + "\tphp_fastcgi localhost:9000\n}\n\nblog.example.com {\n\troot /srv/blog\n\troot /app/* /srv/app\n\tphp_fastcgi localhost:9000\n}\n", "'php_fastcgi localhost:9000' of blog.example.com", ""},
		{"one PHP for two apps, by its own roots", "app.example.com {\n\troot /srv\n\t" + plain + "\tphp_fastcgi localhost:9000 {\n\t\troot /srv/app\n\t}\n}\n\nblog.example.com {\n\troot /srv\n\tphp_fastcgi localhost:9000 {\n\t\troot /srv/blog\n\t}\n}\n", "", ""},
		{"one PHP for two apps, each with two roots", "app.example.com {\n\troot /srv/app\n\troot /a/* /srv/a\n\t" + plain + "\tphp_fastcgi localhost:9000\n}\n\nblog.example.com {\n\troot /srv/blog\n\troot /b/* /srv/b\n\tphp_fastcgi localhost:9000\n}\n", "", ""},
		{"one PHP for one app, in handle_errors", "app.example.com {\n\troot /srv/app\n\t" + plain + "\tphp_fastcgi localhost:9000\n\thandle_errors {\n\t\tphp_fastcgi localhost:9000\n\t}\n}\n", "'php_fastcgi localhost:9000' in handle_errors of app.example.com", ""},
		{"one PHP in a named route", "&(php) {\n\tphp_fastcgi localhost:9000\n}\n\napp.example.com {\n\troot /srv/app\n\t" + plain + "\tphp_fastcgi localhost:9000\n}\n\na.example.com {\n\temail_link\n\troot /srv/a\n\thandle /x/* {\n\t\tabort\n\t}\n\thandle {\n\t\tphp_fastcgi localhost:9000\n\t}\n}\n\nb.example.com {\n\troot /srv/a\n\tinvoke php\n}\n\nc.example.com {\n\troot /srv/app\n\tinvoke php\n}\n", "'php_fastcgi localhost:9000' of c.example.com", ""},
		{"by an international name", "app.example.com {\n\t" + plain + "\treverse_proxy bücher.internal:3000\n}\n\nopen.example.com {\n\treverse_proxy xn--bcher-kva.internal:3000\n}\n", "of open.example.com", ""},
		{"by a decomposed name", "app.example.com {\n\t" + plain + "\treverse_proxy bücher.internal:3000\n}\n\nopen.example.com {\n\treverse_proxy BU\u0308CHER.internal:3000\n}\n", "of open.example.com", ""},
		{"by a name of /etc/hosts", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\nopen.example.com {\n\treverse_proxy ip6-localhost:3000\n}\n", "of open.example.com", ""},
		{"by a short address", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\nopen.example.com {\n\treverse_proxy 127.1:3000\n}\n", "of open.example.com", ""},
		{"by one number", "app.example.com {\n\t" + plain + "\treverse_proxy 10.0.0.1:3000\n}\n\nopen.example.com {\n\treverse_proxy 0x0a000001:3000\n}\n", "of open.example.com", ""},
		{"another address", "app.example.com {\n\t" + plain + "\treverse_proxy 10.0.0.1:3000\n}\n\nopen.example.com {\n\treverse_proxy 10.2:3000\n}\n", "", ""},
		{"a placeholder", "app.example.com {\n\t" + plain + "\treverse_proxy {http.vars.backend}\n}\n\nopen.example.com {\n\treverse_proxy {http.vars.backend}\n}\n", "", ""},
		{"a module", "app.example.com {\n\t" + plain + "\treverse_proxy {\n\t\tdynamic a backend 80\n\t}\n}\n\nopen.example.com {\n\treverse_proxy {\n\t\tdynamic a backend 80\n\t}\n}\n", "", ""},
		{
			"handle_errors", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n\thandle_errors {\n\t\treverse_proxy localhost:3000\n\t}\n}\n",
			"'reverse_proxy localhost:3000' in handle_errors of app.example.com (without a matcher): there clients can send X-Staff themselves, and the backend believes it; write email_link before it, inside handle_errors", "",
		},
		{"handle_errors of another backend", "app.example.com {\n\temail_link\n\treverse_proxy localhost:3000\n\thandle_errors {\n\t\treverse_proxy localhost:3001\n\t}\n}\n", "", "in handle_errors of app.example.com"},
		{"handle_errors with a gate", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n\thandle_errors {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{"error pages", "app.example.com {\n\temail_link\n\treverse_proxy localhost:3000\n\thandle_errors {\n\t\trewrite * /{err.status_code}.html\n\t\tfile_server\n\t}\n}\n", "", ""},
		{"handle_response behind it", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000 {\n\t\t@gone status 404\n\t\thandle_response @gone {\n\t\t\treverse_proxy localhost:3001\n\t\t}\n\t}\n}\n", "", ""},
		{"handle_response past it", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\nopen.example.com {\n\treverse_proxy localhost:3001 {\n\t\t@gone status 404\n\t\thandle_response @gone {\n\t\t\treverse_proxy localhost:3000\n\t\t}\n\t}\n}\n", "'reverse_proxy localhost:3000' of open.example.com", ""},
		{"intercept past it", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\nopen.example.com {\n\tintercept {\n\t\t@gone status 404\n\t\thandle_response @gone {\n\t\t\treverse_proxy localhost:3000\n\t\t}\n\t}\n\trespond 404\n}\n", "'reverse_proxy localhost:3000' of open.example.com", ""},
		{"a named route past it", "&(app) {\n\treverse_proxy localhost:3000\n}\n\napp.example.com {\n\t" + plain + "\tinvoke app\n}\n\nopen.example.com {\n\tinvoke app\n}\n", "'reverse_proxy localhost:3000' of open.example.com", ""},
		{"a named route behind it", "&(app) {\n\treverse_proxy localhost:3000\n}\n\napp.example.com {\n\t" + plain + "\tinvoke app\n}\n", "", ""},
		{"a gate in a named route", "&(gate) {\n\t" + plain + "}\n\napp.example.com {\n\tinvoke gate\n\treverse_proxy localhost:3000\n}\n", "", ""},
		{"a gate in a route before it", "app.example.com {\n\troute {\n\t\t" + plain + "\t}\n\treverse_proxy localhost:3000\n}\n", "", ""},
		{"a gate in a conditional route before it", "app.example.com {\n\t@private header X-Private *\n\troute @private {\n\t\t" + plain + "\t}\n\treverse_proxy localhost:3000\n}\n", "'reverse_proxy localhost:3000' of app.example.com (without a matcher)", ""},
		{"a gate behind the proxy", "app.example.com {\n\troute {\n\t\treverse_proxy localhost:3000\n\t\temail_link\n\t}\n}\n", "", "no request comes to it"},
		{"a gate in each handle before one proxy", "app.example.com {\n\t@lan remote_ip 10.0.0.0/8\n\thandle @lan {\n\t\t" + plain + "\t}\n\thandle {\n\t\temail_link\n\t}\n\treverse_proxy localhost:3000\n}\n", "", "reached only where the matchers"},
		{"forward_auth to another service", "app.example.com {\n\temail_link\n\treverse_proxy localhost:3000\n}\n\nauth.example.com {\n\tforward_auth authelia:9091 {\n\t\turi /api/verify\n\t\tcopy_headers Remote-User\n\t}\n\treverse_proxy localhost:3002\n}\n", "", ""},
		{"forward_auth's own proxy in a gated site", "app.example.com {\n\thandle /other/* {\n\t\tforward_auth authelia:9091 {\n\t\t\turi /api/verify\n\t\t}\n\t\trespond 204\n\t}\n\thandle {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{"behind forward_auth alone", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\nauth.example.com {\n\tforward_auth authelia:9091 {\n\t\turi /api/verify\n\t}\n\treverse_proxy localhost:3000\n}\n", "'reverse_proxy localhost:3000' of auth.example.com", ""},
		{"from a snippet", "(app) {\n\treverse_proxy localhost:3000\n}\n\n(gate) {\n\t" + plain + "}\n\napp.example.com {\n\timport gate\n\timport app\n}\n\nopen.example.com {\n\timport app\n}\n", "Caddyfile:15 (from Caddyfile:23 (import gate)): email_link: the backend", ""},
		{"http beside https", "http://app.example.com, https://app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n", "", ""},
		{"plain http past it", "https://app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n}\n\nhttp://app.example.com {\n\treverse_proxy localhost:3000\n}\n", "'reverse_proxy localhost:3000' of app.example.com", ""},
		{"a terminal route before it", "app.example.com {\n\troute /x/* {\n\t\trespond 404\n\t}\n\t" + plain + "\treverse_proxy localhost:3000\n}\n", "", ""},
		{"unreachable past it", "app.example.com {\n\trespond 404\n\thandle {\n\t\t" + plain + "\t\treverse_proxy localhost:3000\n\t}\n\treverse_proxy localhost:3000\n}\n", "", ""},
		{"try_files and templates", "app.example.com {\n\t" + plain + "\ttemplates\n\ttry_files {path} /index.html\n\tencode gzip\n\tfile_server\n}\n", "", ""},
	})
}

// TestCONF3_Off refuses `email_link off` where it cannot do what it says.
func TestCONF3_Off(t *testing.T) {
	checkShapes(t, []shape{
		{"for a whole site", "open.example.com {\n\temail_link off\n\treverse_proxy localhost:3000\n}\n", "", ""},
		{"behind a gate", "app.example.com {\n\temail_link\n\thandle /feed/* {\n\t\temail_link off\n\t\treverse_proxy localhost:3000\n\t}\n\treverse_proxy localhost:3000\n}\n", "Caddyfile:13: email_link: 'off' stands behind the email_link of Caddyfile:11, which has stopped everybody who is not signed in; write there 'public /feed/*' instead", ""},
		{"before a gate", "app.example.com {\n\temail_link off\n\thandle /app/* {\n\t\temail_link {\n\t\t\tpath /app/auth\n\t\t}\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "Caddyfile:13: email_link: it stands behind 'email_link off'", ""},
		{"beside a gate", "app.example.com {\n\thandle /feed/* {\n\t\temail_link off\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{"beside a gate, in the other order", "app.example.com {\n\t@app path /a/* /email-link/*\n\thandle @app {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n\thandle {\n\t\temail_link off\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{"with a block", "app.example.com {\n\temail_link off {\n\t\tpath /auth\n\t}\n}\n", "email_link off takes no block", ""},
		{"with a matcher", "app.example.com {\n\temail_link off /feed/*\n}\n", "write it inside 'handle /feed/*'", ""},
		{"in handle_errors", "app.example.com {\n\t" + plain + "\treverse_proxy localhost:3000\n\thandle_errors {\n\t\temail_link off\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
	})
}
