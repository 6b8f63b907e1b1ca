package web

import "net/http"

// crossOrigin holds no state and no exceptions.
var crossOrigin = http.NewCrossOriginProtection()

// sameOrigin says whether an unsafe request may come from where it comes from: http.CrossOriginProtection, and any Origin
// that is told is the site's own, scheme included. An opaque one ("null") is left to the fetch metadata.
func sameOrigin(r *http.Request, origin string) bool {
	if crossOrigin.Check(r) != nil {
		return false
	}
	for _, shown := range r.Header.Values("Origin") {
		if shown != origin && shown != "null" {
			return false
		}
	}
	return true
}
