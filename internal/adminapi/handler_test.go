package adminapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// TestKEY1_CommandsOnly: a program that is made to fetch an address of the admin endpoint gets neither keys nor the database.
func TestKEY1_CommandsOnly(t *testing.T) {
	t.Parallel()
	for name := range handlers {
		method, path, _ := strings.Cut(name, " ")
		r := httptest.NewRequest(method, Prefix+path, http.NoBody)
		w := httptest.NewRecorder()
		err := Serve(nil, w, r) // there are no operations that could be asked
		var refusal *operator.Error
		if !errors.As(err, &refusal) || refusal.Kind != operator.Forbidden || Status(err) != http.StatusForbidden || w.Body.Len() > 0 {
			t.Errorf("%s: %v, %q", name, err, w.Body)
		}
	}
}
