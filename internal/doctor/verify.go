package doctor

import "fmt"

// verify finds forward-auth endpoints that answer every client.
func verify(f Facts) []Finding {
	r, on := report{check: "verify"}, false
	for _, s := range f.Sites {
		for _, peers := range s.VerifyFrom {
			on = true
			if peers.Bits() < 8 {
				r.add(Warn, fmt.Sprintf("'verify from %s' answers anyone who can connect: anyone who holds a session cookie gets its assertion for %s", peers, s.title()),
					"write only the addresses of your proxies, such as verify from 10.0.0.2")
			}
		}
	}
	if !on {
		return nil
	}
	return r.orOK("only the listed proxies may ask")
}
