package boundary

import "strings"

// UnknownDevice is what Device answers when it knows neither browser nor system.
const UnknownDevice = "a browser"

// maxUserAgent is how much of a User-Agent is read, in bytes.
const maxUserAgent = 512

// named is a mark in a User-Agent and the name that people see. The first one found counts: most browsers claim to be others
// too, so the more special marks come first.
type named struct{ mark, name string }

var browsers = []named{
	{"EdgA/", "Edge"},
	{"EdgiOS/", "Edge"},
	{"Edg/", "Edge"},
	{"Edge/", "Edge"},
	{"OPR/", "Opera"},
	{"OPT/", "Opera"},
	{"SamsungBrowser/", "Samsung Internet"},
	{"Vivaldi/", "Vivaldi"},
	{"YaBrowser/", "Yandex Browser"},
	{"DuckDuckGo/", "DuckDuckGo"},
	{"Ddg/", "DuckDuckGo"},
	{"FxiOS/", "Firefox"},
	{"Firefox/", "Firefox"},
	{"CriOS/", "Chrome"},
	{"Chromium/", "Chromium"},
	{"Chrome/", "Chrome"},
	{"Version/", "Safari"}, // see Device: only together with Safari/
}

var systems = []named{
	{"iPhone", "iPhone"},
	{"iPod", "iPhone"},
	{"iPad", "iPad"},
	{"Android", "Android"},
	{"CrOS", "ChromeOS"},
	{"Windows", "Windows"},
	{"Macintosh", "macOS"},
	{"FreeBSD", "FreeBSD"},
	{"OpenBSD", "OpenBSD"},
	{"Linux", "Linux"},
}

// Device names the browser and the system of a User-Agent for people, "Firefox on Linux". The names come from a closed list
// and nothing of the header is in them, so mails to other people may contain them. Unknown parts are left out: "Firefox",
// "a browser on Linux", "a browser".
func Device(userAgent string) string {
	userAgent = userAgent[:min(len(userAgent), maxUserAgent)]
	browser, system := find(browsers, userAgent), find(systems, userAgent)
	if browser == "Safari" && !strings.Contains(userAgent, "Safari/") {
		browser = ""
	}
	switch {
	case browser == "" && system == "":
		return UnknownDevice
	case browser == "":
		return UnknownDevice + " on " + system
	case system == "":
		return browser
	default:
		return browser + " on " + system
	}
}

func find(list []named, text string) string {
	for _, n := range list {
		if strings.Contains(text, n.mark) {
			return n.name
		}
	}
	return ""
}
