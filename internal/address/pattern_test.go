package address

import "testing"

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, address string
		want             bool
	}{
		{"ada@example.com", "Ada@EXAMPLE.com", true},
		{"ADA@Example.com", "ada@example.com", true},
		{"ada@example.com", "ada+x@example.com", false},
		{"ada@example.com", "eve@example.com", false},
		{"*@example.com", "ada+x@example.com", true},
		{"*@example.com", "ada@mail.example.com", false},
		{"*@example.com", "ada@example.com.eve.org", false},
		{"*@example.com", "ada@evilexample.com", false},
		{"*@example.com", "example.com@eve.org", false},
		{"*@*.example.com", "ada@mail.example.com", true},
		{"*@*.example.com", "ada@example.com", false},
		{"*@*.example.com", "ada@a.b.example.com", false},
		{"ada@*.example.com", "eve@mail.example.com", false},
		{"*@mail.*.example.com", "ada@mail.eu.example.com", true},
		{"*@mail.*.example.com", "ada@web.eu.example.com", false},
		{"*@bücher.example", "ada@xn--bcher-kva.example", true},
		{"*@XN--BCHER-KVA.example", "ada@bücher.example", true},
		{"*@paypal.com", "ada@p\u0430ypal.com", false},
		{"no pattern", "ada@example.com", false},
	} {
		p, err := CompilePattern(c.pattern)
		if got := err == nil && p.Match(parse(t, c.address)); got != c.want {
			t.Errorf("%q covers %q: %v", c.pattern, c.address, got)
		}
	}
	p, err := CompilePattern("*@example.com")
	if err != nil || p.Match(Address{}) || (Pattern{}).Match(parse(t, "ada@example.com")) {
		t.Error("a zero value matches")
	}
}

func TestParsePatternRefuses(t *testing.T) {
	for _, p := range []string{
		"", "*", "example.com", "@example.com", "ada@", "a*@example.com", "*a@example.com", "**@example.com", "*@*", "*@*.com", "*@example.*",
		"*@*.*.com", "*@ex*mple.com", "*@*example.com", "*@*.*.example.com", "*@example.com.", "*@.example.com", "*@exa mple.com",
		"ada@eve@example.com", "a b@example.com", `"*"@example.com`, "*@[192.0.2.1]", "*@localhost", "*@*.co.*", "*@**.example.com",
	} {
		if err := ParsePattern(p); err == nil {
			t.Errorf("ParsePattern(%q) accepts", p)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("*@example.com", "ada@example.com")
	f.Add("ada@*.example.com", "ada@mail.example.com")
	f.Add("*@*.bücher.example", "ada@x.xn--bcher-kva.example")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		p, err := CompilePattern(pattern)
		a, errA := Parse(s)
		if err != nil || errA != nil {
			return
		}
		if p.Match(a) && p.local != "*" && p.local != a.local {
			t.Fatalf("%q covers %q", pattern, s)
		}
		if own, err := CompilePattern("*@" + a.Domain()); err != nil || !own.Match(a) {
			t.Fatalf("*@%s does not cover %q: %v", a.Domain(), s, err)
		}
	})
}

func BenchmarkPatternMatch(b *testing.B) {
	p, err := CompilePattern("*@*.example.com")
	if err != nil {
		b.Fatal(err)
	}
	a, err := Parse("ada@mail.example.com")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !p.Match(a) {
			b.Fatal("no match")
		}
	}
}
