package doctor

import "fmt"

// verify finds forward-auth endpoints that answer every client.
func verify(f Facts) []Finding {
	r, on := report{check: "verify"}, false
	for _, s := range f.Sites {
		for _, peers := range s.VerifyFrom {
			on = true
			if peers.Bits() < 8 {
				r.add(Warn, fmt.Sprintf("'verify from %s' answers everybody who can connect: whoever holds a session's cookie gets its assertion for %s", peers, s.title()),
					"write the addresses of the proxies that ask, such as verify from 10.0.0.2")
			}
		}
	}
	if !on {
		return nil
	}
	return r.orOK("nobody but the listed proxies may ask")
}
