package main

import (
	"crypto/ed25519"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
)

// bodySize is what the backend answers.
const bodySize = 1024

// warmFor is how long a load runs before it is measured, as a part of the measured time.
const warmFor = 8

// shape is how a load comes.
type shape struct {
	conns, rate int
	h2          bool
	// brief is half as long: a row without a target.
	brief bool
}

// side is one of the two sides of a pair.
type side struct {
	site         string
	requests     []request
	status, size int
}

// signedIn asks a site with its session. The floors get the same bytes.
func (s *sites) signedIn(site string) side {
	return side{site: site, requests: []request{{"/x", browser(s.cookie[site])}}, status: http.StatusOK, size: bodySize}
}

// inTurns runs both sides in turns. A pair is made of several short turns of each, in an order that a machine which becomes slower
// or faster meanwhile does not favour, unless it is about the slowest requests of a longer time, or is profiled.
func (b *bench) inTurns(s *sites, how shape, floor, subject side) (a, c []outcome, err error) {
	parts := b.parts
	if how.rate > 0 || b.profile != "" {
		parts = 1
	}
	length := b.length / time.Duration(parts)
	if how.brief {
		length /= 2
	}
	sides := [2]side{floor, subject}
	for range b.options.pairs {
		var sum [2]outcome
		for turn := range 2 * parts {
			i := (turn + turn/2) % 2 // 0 1 1 0
			o, err := b.turn(s, how, sides[i], length, i == 1)
			if err != nil {
				return nil, nil, s.caddy.fate(err)
			}
			sum[i].add(o, parts)
		}
		a, c = append(a, sum[0]), append(c, sum[1])
	}
	return a, c, nil
}

// turn is one load.
func (b *bench) turn(s *sites, how shape, one side, length time.Duration, profile bool) (outcome, error) {
	j := job{
		Addr: s.addr[one.site], H2: how.h2, Conns: how.conns, Rate: how.rate, Warm: length / warmFor, Length: length,
		Requests: one.requests, Status: one.status, Size: one.size, Watch: []int{s.caddy.Process.Pid},
	}
	profiled := make(chan error, 1)
	if b.profile != "" && profile {
		go func() { profiled <- s.profile(b.profile, length) }()
	} else {
		profiled <- nil
	}
	o, err := b.run(j)
	return o, errors.Join(err, <-profiled)
}

// add sums up one of several turns. The latencies become means of those of the turns.
func (o *outcome) add(one outcome, of int) {
	if o.CPU == nil && one.CPU != nil {
		o.CPU = make([]float64, len(one.CPU))
	}
	o.Done, o.Seconds = o.Done+one.Done, o.Seconds+one.Seconds
	o.P50, o.P99 = o.P50+one.P50/float64(of), o.P99+one.P99/float64(of)
	for i := range one.CPU {
		o.CPU[i] += one.CPU[i]
	}
}

// perSecond compares pairs by requests a second.
func perSecond(a, c []outcome) []float64 {
	return ratios(a, c, func(o outcome) float64 { return float64(o.Done) / o.Seconds })
}

func ratios(a, c []outcome, of func(outcome) float64) (list []float64) {
	for i := range a {
		list = append(list, of(c[i])/of(a[i]))
	}
	return list
}

func differences(a, c []outcome, of func(outcome) float64) (list []float64) {
	for i := range a {
		list = append(list, of(c[i])-of(a[i]))
	}
	return list
}

// cpuFigure is the CPU per request against the floor's.
func cpuFigure(f figure, a, c []outcome) figure {
	for _, o := range append(append([]outcome{}, a...), c...) {
		if len(o.CPU) == 0 {
			f.missing = errNoAccounting.Error()
			return f
		}
	}
	f.values = ratios(a, c, func(o outcome) float64 { return o.CPU[0] / float64(o.Done) })
	return f
}

// signedRow is a signed-in request against a floor, or of a floor against another: requests a second and CPU.
func signedRow(floor string, how shape, subject string, rps, cpu float64) func(*bench) ([]figure, error) {
	return func(b *bench) ([]figure, error) {
		s, err := b.sites()
		if err != nil {
			return nil, err
		}
		from, of := s.signedIn(floor), s.signedIn(subject)
		// The cookies differ in value only.
		a, c, err := b.inTurns(s, how, from, of)
		if err != nil {
			return nil, err
		}
		against := map[string]string{siteBare: "reverse_proxy", siteStatic: "reverse_proxy with such a header"}[floor]
		speed := figure{what: "requests/s", floor: against, values: perSecond(a, c)}
		work := cpuFigure(figure{what: "CPU of a request", floor: against}, a, c)
		if rps > 0 {
			speed = atLeast(speed, rps)
		}
		if cpu > 0 {
			work = atMost(work, cpu)
		}
		return []figure{speed, work}, nil
	}
}

// latencyRow is what one connection waits longer, at the middle.
func latencyRow(b *bench) ([]figure, error) {
	s, err := b.sites()
	if err != nil {
		return nil, err
	}
	a, c, err := b.inTurns(s, shape{conns: 1}, s.signedIn(siteBare), s.signedIn(siteSigned))
	if err != nil {
		return nil, err
	}
	f := figure{what: "p50 added on one connection", floor: "reverse_proxy", unit: "µs", values: differences(a, c, func(o outcome) float64 { return o.P50 })}
	return []figure{atMost(f, 15)}, nil
}

// tailRow is what the slowest wait longer at a rate that leaves room.
func tailRow(b *bench) ([]figure, error) {
	s, err := b.sites()
	if err != nil {
		return nil, err
	}
	a, c, err := b.inTurns(s, shape{conns: 32, rate: 2000}, s.signedIn(siteBare), s.signedIn(siteSigned))
	if err != nil {
		return nil, err
	}
	f := figure{what: "p99 added at 2 000 requests/s", floor: "reverse_proxy", unit: "µs", values: differences(a, c, func(o outcome) float64 { return o.P99 })}
	return []figure{atMost(f, 300)}, nil
}

// anonymousRow is a script that is not signed in.
func anonymousRow(b *bench) ([]figure, error) {
	s, err := b.sites()
	if err != nil {
		return nil, err
	}
	side := func(site string) side {
		return side{site: site, requests: []request{{"/x", browser("")}}, status: http.StatusUnauthorized, size: -1}
	}
	a, c, err := b.inTurns(s, shape{conns: 32}, side(siteAnswer), side(siteSigned))
	if err != nil {
		return nil, err
	}
	const against = "respond with all of our answer"
	return []figure{
		atLeast(figure{what: "requests/s", floor: against, values: perSecond(a, c)}, 1),
		cpuFigure(figure{what: "CPU of a request", floor: against}, a, c),
	}, nil
}

// sizeRow is the size of an ordinary assertion, of a larger one, and of the one that the rows about requests carry.
func sizeRow(b *bench) ([]figure, error) {
	s, err := b.sites()
	if err != nil {
		return nil, err
	}
	g, err := newGate(b.path("size.db"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(g.path) //nolint:errcheck // temporary
	defer g.close()         //nolint:errcheck // read no more
	now := g.vault.Clock.Now()
	key := g.vault.Signing.Current(now)
	minter, err := identity.NewMinter(identity.MinterConfig{
		Key: g.vault.Ring.AudienceKey("app.example.com"), Now: g.vault.Clock.Wall,
		Signer: func() (string, ed25519.PrivateKey) { return key.ID, key.Private },
	})
	if err != nil {
		return nil, err
	}
	var sizes [2]float64
	for i, more := range []identity.Identity{{}, {Name: "Ada Lovelace", Roles: []string{"admin", "editor"}}} {
		text, _, err := minter.Mint(identity.Identity{
			Issuer: origin, Audience: "app.example.com", Subject: token.NewID(), SessionID: token.NewID(), Email: "ada.lovelace@example.com",
			EmailVerified: true, AuthTime: now, Methods: []string{"link"}, Name: more.Name, Roles: more.Roles,
		})
		if err != nil {
			return nil, err
		}
		sizes[i] = float64(len(text))
	}
	return []figure{
		atMost(figure{what: "an ordinary assertion", unit: "bytes", values: sizes[:1]}, 950),
		{what: "one with a name and two roles", unit: "bytes", values: sizes[1:]},
		{what: "the one of the rows about requests", unit: "bytes", values: []float64{float64(len(s.assertion))}},
	}, nil
}
