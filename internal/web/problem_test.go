package web

import (
	"encoding/json"
	"testing"
)

func TestProblemBody_IsWrittenAsJSONWould(t *testing.T) {
	for _, p := range []problemBody{
		{},
		{Type: "about:blank", Title: "Please sign in.", Status: 401, Code: "sign_in_required", SignIn: "https://app.example.com/email-link/sign-in?return_to=%2Fx"},
		{Type: "about:blank", Title: "\"<>&\\\x00\n\x7f", Status: -1, Code: "é", Field: "email", RetryAfter: 5, SignIn: "?a=1&b=2", Address: "\u2028\xff"},
		{Title: "يُرجى تسجيل الدخول", RetryAfter: -1},
	} {
		want, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(p.append(nil)); got != string(want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
