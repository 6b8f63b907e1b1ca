package boundary

import (
	"net/http"
	"testing"
)

func request(method string, pairs ...string) *http.Request {
	return &http.Request{Method: method, Proto: "HTTP/1.1", ProtoMajor: 1, Header: header(pairs...)}
}

func TestSES4_Upgrades(t *testing.T) {
	h3 := request("CONNECT")
	h3.Proto, h3.ProtoMajor = "websocket", 3
	plainH3 := request("CONNECT")
	plainH3.Proto, plainH3.ProtoMajor = "HTTP/3.0", 3
	for name, c := range map[string]struct {
		r    *http.Request
		want bool
	}{
		"HTTP/1.1":             {request("GET", "Upgrade", "websocket", "Connection", "Upgrade"), true},
		"without Connection":   {request("GET", "Upgrade", "websocket"), true},
		"empty":                {request("GET", "Upgrade", ""), true},
		"POST":                 {request("POST", "Upgrade", "h2c"), true},
		"HTTP/2":               {request("CONNECT", ":protocol", "websocket"), true},
		"HTTP/3":               {h3, true},
		"CONNECT":              {request("CONNECT"), false},
		"CONNECT over HTTP/3":  {plainH3, false},
		"CONNECT with Upgrade": {request("CONNECT", "Upgrade", "websocket"), false},
		"GET":                  {request("GET"), false},
		"key alone":            {request("GET", "Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), true},
		"version alone":        {request("GET", "Sec-Websocket-Version", "13"), true},
		"empty key":            {request("GET", "Sec-Websocket-Key", ""), true},
		"fetch mode alone":     {request("GET", "Sec-Fetch-Mode", "websocket"), true},
		"fetch mode, capitals": {request("GET", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Mode", "WebSocket"), true},
		"another fetch mode":   {request("GET", "Sec-Fetch-Mode", "cors"), false},
	} {
		if got := IsUpgrade(c.r); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSES4_SameOrigin(t *testing.T) {
	const origin = "https://app.example.com"
	for _, c := range []struct {
		pairs []string
		want  bool
	}{
		{[]string{"Origin", origin}, true},
		{[]string{"Origin", "https://APP.example.com"}, true},
		{nil, false},
		{[]string{"Origin", "null"}, false},
		{[]string{"Origin", ""}, false},
		{[]string{"Origin", "http://app.example.com"}, false},
		{[]string{"Origin", "https://app.example.com:8443"}, false},
		{[]string{"Origin", "https://app.example.com.evil.example"}, false},
		{[]string{"Origin", "https://evil.example"}, false},
		{[]string{"Origin", "https://app.example.com/"}, false},
		{[]string{"Origin", origin, "Origin", origin}, false},
		{[]string{"Origin", origin + ", https://evil.example"}, false},
	} {
		if got := SameOriginUpgrade(request("GET", c.pairs...), origin); got != c.want {
			t.Errorf("%q: %v", c.pairs, got)
		}
	}
	if SameOriginUpgrade(request("GET", "Origin", ""), "") {
		t.Error("no origin equals no origin")
	}
}

func TestIsNavigation(t *testing.T) {
	const html = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, c := range []struct {
		method string
		pairs  []string
		want   bool
	}{
		{"GET", []string{"Sec-Fetch-Mode", "navigate"}, true},
		{"GET", []string{"Sec-Fetch-Mode", "navigate", "Accept", "application/json"}, true},
		{"GET", []string{"Sec-Fetch-Mode", "cors", "Accept", html}, false},
		{"GET", []string{"Sec-Fetch-Mode", "no-cors", "Accept", html}, false},
		{"GET", []string{"Sec-Fetch-Mode", "websocket"}, false},
		{"GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Mode", "cors"}, false},
		{"GET", []string{"Accept", html}, true},
		{"GET", []string{"Accept", "Text/HTML; q=1"}, true},
		{"GET", []string{"Accept", html, "X-Requested-With", "XMLHttpRequest"}, false},
		{"GET", []string{"Accept", html, "X-Requested-With", ""}, false},
		{"GET", []string{"Accept", "application/json, text/html"}, false},
		{"GET", []string{"Accept", "*/*"}, false},
		{"GET", []string{"Accept", "text/html5"}, false},
		{"GET", []string{"Accept", "text/event-stream"}, false},
		{"GET", nil, false},
		{"GET", []string{"Sec-Fetch-Mode", "navigate", "Upgrade", "websocket"}, false},
		{"HEAD", []string{"Accept", html}, false},
		{"POST", []string{"Sec-Fetch-Mode", "navigate", "Accept", html}, false},
		{"CONNECT", []string{":protocol", "websocket", "Accept", html}, false},
	} {
		if got := IsNavigation(request(c.method, c.pairs...)); got != c.want {
			t.Errorf("%s %q: %v", c.method, c.pairs, got)
		}
	}
}

func TestTOK2_OneClickHeaders(t *testing.T) {
	visit := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	with := func(pairs ...string) []string { return append(append([]string(nil), visit...), pairs...) }
	for _, c := range []struct {
		method string
		pairs  []string
		want   bool
	}{
		{"GET", visit, true},
		{"GET", with("Sec-Fetch-Site", "cross-site", "Sec-Fetch-User", "?1"), true},
		{"HEAD", visit, false},
		{"POST", visit, false},
		{"OPTIONS", visit, false},
		{"", visit, false},
		{"GET", nil, false},
		{"GET", visit[:2], false},
		{"GET", visit[2:], false},
		{"GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "empty"}, true}, // passed on by a service worker
		{"GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "empty", "Sec-Purpose", "prefetch"}, false},
		{"HEAD", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "empty"}, false},
		{"GET", []string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "empty"}, false},
		{"GET", []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, false},
		{"GET", []string{"Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Dest", "empty"}, false},
		{"GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, false},
		{"GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "frame"}, false},
		{"GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "embed"}, false},
		{"GET", []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "object"}, false},
		{"GET", []string{"Sec-Fetch-Mode", "Navigate", "Sec-Fetch-Dest", "document"}, false},
		{"GET", with("Sec-Fetch-Dest", "document"), false},
		{"GET", with("Sec-Purpose", "prefetch"), false},
		{"GET", with("Sec-Purpose", "prefetch;prerender"), false},
		{"GET", with("Sec-Purpose", ""), false},
		{"GET", with("Purpose", "prefetch"), false},
		{"GET", with("X-Purpose", "preview"), false},
		{"GET", with("X-Moz", "prefetch"), false},
	} {
		if got := OneClickHeaders(request(c.method, c.pairs...)); got != c.want {
			t.Errorf("%s %q: %v", c.method, c.pairs, got)
		}
	}
}

func TestMAIL2_DeviceComesFromAClosedList(t *testing.T) {
	for in, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:148.0) Gecko/20100101 Firefox/148.0":                                                                  "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36":                         "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0":           "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15":                   "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/156.0 Mobile/15E148 Safari/604.1":           "Chrome on iPad",
		"Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/29.0 Chrome/140.0.0.0 Mobile Safari/537.36":     "Samsung Internet on Android",
		"Mozilla/5.0 (Android 16; Mobile; rv:148.0) Gecko/148.0 Firefox/148.0":                                                                    "Firefox on Android",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36":                          "Chrome on ChromeOS",
		"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 OPR/120.0.0.0":                       "Opera on Windows",
		"Mozilla/5.0 (Linux; U; Android 4.0; en) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile":                                       "a browser on Android",
		"Firefox/1":   "Firefox",
		"curl/8.16.0": UnknownDevice,
		"":            UnknownDevice,
		"<script>alert(1)</script> https://evil.example/win Linux":     "a browser on Linux",
		string(make([]byte, maxUserAgent)) + "Firefox/148.0 (Windows)": UnknownDevice,
	} {
		if got := Device(in); got != want {
			t.Errorf("Device(%.80q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzMAIL2_Device(f *testing.F) {
	f.Add("Mozilla/5.0 (X11; Linux x86_64; rv:148.0) Gecko/20100101 Firefox/148.0")
	f.Add("Version/1 Safari/1 iPad")
	known := map[string]bool{UnknownDevice: true}
	for _, b := range browsers {
		known[b.name] = true
		for _, s := range systems {
			known[b.name+" on "+s.name] = true
			known[UnknownDevice+" on "+s.name] = true
		}
	}
	f.Fuzz(func(t *testing.T, userAgent string) {
		if got := Device(userAgent); !known[got] {
			t.Fatalf("Device(%q) = %q", userAgent, got)
		}
	})
}

// TestPATH1_DropHTTPUpgrade: nobody gets a tunnel through the gate in which HTTP is spoken.
func TestPATH1_DropHTTPUpgrade(t *testing.T) {
	for name, test := range map[string]struct {
		offers []string
		kept   bool
	}{
		"websocket":         {[]string{"websocket"}, true},
		"any case":          {[]string{"WebSocket"}, true},
		"kubernetes":        {[]string{"SPDY/3.1"}, true},
		"docker":            {[]string{"tcp"}, true},
		"h2c":               {[]string{"h2c"}, false},
		"H2C":               {[]string{"H2C"}, false},
		"a draft of h2c":    {[]string{"h2c-14"}, false},
		"h2":                {[]string{"h2"}, false},
		"a version":         {[]string{"HTTP/2.0"}, false},
		"TLS":               {[]string{"TLS/1.2"}, false},
		"HTTP/1.1":          {[]string{"HTTP/1.1"}, false},
		"h3":                {[]string{"h3-29"}, false},
		"behind another":    {[]string{"websocket,\th2c"}, false},
		"in a second line":  {[]string{"websocket", "h2c"}, false},
		"with empty tokens": {[]string{" ,,h2c "}, false},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"Upgrade": test.offers, "Http2-Settings": {"AAMAAABkAAQAAP__"}, "Connection": {"Upgrade"}}
			if !DropHTTPUpgrade(header) {
				t.Error("HTTP2-Settings is not reported as an offer")
			}
			if _, remaining := header["Upgrade"]; remaining != test.kept {
				t.Errorf("kept is %t", remaining)
			}
			if _, remaining := header["Http2-Settings"]; remaining {
				t.Error("the settings are kept")
			}
			header = http.Header{"Upgrade": test.offers}
			if got := DropHTTPUpgrade(header); got == test.kept {
				t.Errorf("without settings: reported is %t", got)
			}
		})
	}
	header := http.Header{"Http2-Settings": {""}}
	if !DropHTTPUpgrade(header) || len(header) > 0 {
		t.Errorf("settings without Upgrade: %v", header)
	}
	if DropHTTPUpgrade(nil) || DropHTTPUpgrade(http.Header{"Connection": {"Upgrade, HTTP2-Settings"}}) {
		t.Error("an offer where there is none")
	}
}
