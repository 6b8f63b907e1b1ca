package module_test

import "testing"

// TestCONF3_NamedRoutes: of a named route without matchers Caddy keeps the first directive, so nothing answers behind a gate there.
func TestCONF3_NamedRoutes(t *testing.T) {
	const lost = "nothing answers behind it"
	checkShapes(t, []shape{
		{"a gate and a proxy", "&(app) {\n\temail_link\n\treverse_proxy localhost:3000\n}\napp.example.com {\n\tinvoke app\n}\n", "", lost},
		{"off and a proxy", "&(app) {\n\temail_link off\n\treverse_proxy localhost:3000\n}\napp.example.com {\n\tinvoke app\n}\n", "", lost},
		{"as the warning says", "&(app) {\n\troute {\n\t\temail_link\n\t\treverse_proxy localhost:3000\n\t}\n}\napp.example.com {\n\tinvoke app\n}\n", "", ""},
		{"a gate alone, on purpose", "&(gate) {\n\temail_link\n}\napp.example.com {\n\troute {\n\t\tinvoke gate\n\t\treverse_proxy localhost:3000\n\t}\n}\n", "", ""},
		{"a directive with a matcher", "&(app) {\n\temail_link\n\trespond /healthz ok\n\treverse_proxy localhost:3000\n}\napp.example.com {\n\tinvoke app\n}\n", "", ""},
	})
}
