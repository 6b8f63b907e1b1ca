package module

import (
	"net/http"
	"reflect"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// headersPackage is the home of the writer by which the directive `header` changes the headers of an answer that begins.
var headersPackage = reflect.TypeFor[headers.Handler]().PkgPath()

// ownAnswer returns the writer for an answer of the gate's own. What the answer sets reaches the client whatever the site's
// `header` does: a directive that runs before ours is overwritten, and one that waits for the answer to begin is followed by a
// writer that puts the answer's headers back.
//
// Caddy has no place for a writer below such a one but the writer's own exported field.
func ownAnswer(w http.ResponseWriter) http.ResponseWriter {
	below := lowestDeferred(w)
	if below == nil {
		return w
	}
	answer, ok := below.ResponseWriter.(*gate.OwnAnswer)
	if !ok {
		answer = &gate.OwnAnswer{ResponseWriter: below.ResponseWriter}
		below.ResponseWriter = answer
	}
	return answer.Writer(w)
}

// lowestDeferred returns the inside of the writer of a deferred `header` that is nearest to the client, nil where there is none.
func lowestDeferred(w http.ResponseWriter) (lowest *caddyhttp.ResponseWriterWrapper) {
	for {
		next, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return lowest
		}
		if t := reflect.TypeOf(w); t.Kind() == reflect.Pointer && t.Elem().PkgPath() == headersPackage {
			inside := reflect.ValueOf(w).Elem().FieldByName("ResponseWriterWrapper")
			if inside.IsValid() && inside.CanInterface() {
				if inside, ok := inside.Interface().(*caddyhttp.ResponseWriterWrapper); ok {
					lowest = inside
				}
			}
		}
		w = next.Unwrap()
	}
}
