package boundary

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestMACH3_TakeToken(t *testing.T) {
	const tok = "elt_abc.def"
	own, bearer := Token{Text: tok, Presented: true, Bearer: true, Header: true}, Token{Text: tok, Presented: true, Bearer: true}
	asPassword := Token{Text: tok, Presented: true, Basic: true}
	for name, c := range map[string]struct {
		header http.Header
		want   Token
		left   http.Header
	}{
		"none":                    {http.Header{"Accept": {"x"}}, Token{}, http.Header{"Accept": {"x"}}},
		"own header":              {http.Header{"Email-Link-Token": {tok}}, own, http.Header{}},
		"own header, empty":       {http.Header{"Email-Link-Token": {""}}, Token{Presented: true, Bearer: true, Header: true}, http.Header{}},
		"own header, nonsense":    {http.Header{"Email-Link-Token": {"x"}}, Token{Text: "x", Presented: true, Bearer: true, Header: true}, http.Header{}},
		"own header, no value":    {http.Header{"Email-Link-Token": {}}, Token{Presented: true, Bearer: true, Header: true}, http.Header{}},
		"own header twice":        {http.Header{"Email-Link-Token": {tok, tok}}, Token{Presented: true, Bearer: true, Header: true}, http.Header{}},
		"bearer":                  {http.Header{"Authorization": {"Bearer " + tok}}, bearer, http.Header{}},
		"bearer in any case":      {http.Header{"Authorization": {" bEARER   " + tok + " "}}, bearer, http.Header{}},
		"bearer, a tab":           {http.Header{"Authorization": {"Bearer\t" + tok}}, bearer, http.Header{}},
		"bearer, a list":          {http.Header{"Authorization": {"Bearer " + tok + ", Basic x"}}, Token{Text: tok + ", Basic x", Presented: true, Bearer: true}, http.Header{}},
		"bearer twice":            {http.Header{"Authorization": {"Bearer " + tok, "Bearer " + tok}}, Token{Presented: true, Bearer: true}, http.Header{}},
		"bearer beside another":   {http.Header{"Authorization": {"Bearer other", "Bearer " + tok}}, Token{Presented: true, Bearer: true}, http.Header{}},
		"basic":                   {http.Header{"Authorization": {basic("ada", tok)}}, asPassword, http.Header{}},
		"basic without a name":    {http.Header{"Authorization": {basic("", tok)}}, asPassword, http.Header{}},
		"basic without padding":   {http.Header{"Authorization": {strings.TrimRight(basic("adaa", tok), "=")}}, asPassword, http.Header{}},
		"basic, url-safe":         {http.Header{"Authorization": {"basic " + base64.URLEncoding.EncodeToString([]byte("\xff\xfe\xfb:"+tok))}}, asPassword, http.Header{}},
		"basic, a colon in it":    {http.Header{"Authorization": {basic("ada", tok+":x")}}, Token{Text: tok + ":x", Presented: true, Basic: true}, http.Header{}},
		"own header and bearer":   {http.Header{"Email-Link-Token": {tok}, "Authorization": {"Bearer " + tok}}, Token{Presented: true, Bearer: true, Header: true}, http.Header{}},
		"own header and basic":    {http.Header{"Email-Link-Token": {tok}, "Authorization": {basic("a", tok)}}, Token{Presented: true, Basic: true, Bearer: true, Header: true}, http.Header{}},
		"own header, foreign one": {http.Header{"Email-Link-Token": {tok}, "Authorization": {"Bearer x"}}, own, http.Header{"Authorization": {"Bearer x"}}},
		"foreign bearer":          {http.Header{"Authorization": {"Bearer ELT_x"}}, Token{}, http.Header{"Authorization": {"Bearer ELT_x"}}},
		"foreign basic":           {http.Header{"Authorization": {basic("elt_x", "y")}}, Token{}, http.Header{"Authorization": {basic("elt_x", "y")}}},
		"foreign and broken":      {http.Header{"Authorization": {"Basic %%%", "", "elt_x", "Digest username=elt_x"}}, Token{}, http.Header{"Authorization": {"Basic %%%", "", "elt_x", "Digest username=elt_x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ExtractToken(c.header)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.left, c.header); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMACH3_ATokenByBasicFromAnotherSite(t *testing.T) {
	const origin = "https://app.example.com"
	for name, c := range map[string]struct {
		header http.Header
		want   bool
	}{
		"no browser":       {http.Header{}, false},
		"same origin":      {http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {origin}}, false},
		"a person's own":   {http.Header{"Sec-Fetch-Site": {"none"}}, false},
		"same site":        {http.Header{"Sec-Fetch-Site": {"same-site"}}, true},
		"cross site":       {http.Header{"Sec-Fetch-Site": {"cross-site"}}, true},
		"doubled":          {http.Header{"Sec-Fetch-Site": {"none", "none"}}, true},
		"another origin":   {http.Header{"Origin": {"https://evil.example"}}, true},
		"an opaque origin": {http.Header{"Origin": {"null"}}, true},
	} {
		if got := FromAnotherSite(c.header, origin); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if IsBrowser(http.Header{}) || !IsBrowser(http.Header{"Sec-Fetch-Mode": {"cors"}}) || !IsBrowser(http.Header{"X-Requested-With": {"x"}}) {
		t.Error("IsBrowser")
	}
}
