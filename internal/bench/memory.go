package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// allocated is what Caddy has allocated since its start.
type allocated struct{ objects, bytes float64 }

// allocated asks Caddy's Go runtime.
func (s *sites) allocated() (a allocated, err error) {
	res, err := http.Get("http://" + s.admin + "/debug/pprof/heap?debug=1") //nolint:noctx,gosec // it ends by itself
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return a, err
	}
	for line := range strings.Lines(string(text)) { // of runtime.MemStats
		_, _ = fmt.Sscanf(line, "# Mallocs = %f", &a.objects)
		_, _ = fmt.Sscanf(line, "# TotalAlloc = %f", &a.bytes)
	}
	if a.objects == 0 || a.bytes == 0 {
		return a, errors.New("no figures of the allocator in Caddy's heap profile")
	}
	return a, nil
}

// memoryRow is what a signed-in request allocates more than its floor. It hardly depends on how busy the machine is, and the garbage
// collector's share of a request's CPU follows it.
func memoryRow(b *bench) ([]figure, error) {
	s, err := b.sites()
	if err != nil {
		return nil, err
	}
	objects := figure{what: "allocations more", floor: "reverse_proxy with such a header"}
	bytes := figure{what: "bytes allocated more", floor: "reverse_proxy with such a header"}
	for range b.options.pairs {
		var each [2]allocated
		for i, site := range [...]string{siteStatic, siteSigned} {
			if each[i], err = b.allocatedBy(s, s.signedIn(site)); err != nil {
				return nil, s.caddy.fate(err)
			}
		}
		objects.values = append(objects.values, each[1].objects-each[0].objects)
		bytes.values = append(bytes.values, each[1].bytes-each[0].bytes)
	}
	return []figure{objects, bytes}, nil
}

// allocatedBy returns what each request of a load allocates.
func (b *bench) allocatedBy(s *sites, one side) (each allocated, err error) {
	before, err := s.allocated()
	if err != nil {
		return each, err
	}
	o, err := b.turn(s, shape{conns: 1}, one, b.length, false)
	if err != nil {
		return each, err
	}
	after, err := s.allocated()
	requests := float64(o.All)
	return allocated{(after.objects - before.objects) / requests, (after.bytes - before.bytes) / requests}, err
}
