package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/password"
)

// signInCase is one kind of sign-in with a password.
type signInCase struct {
	what  string
	email string // with the number of the round
	typed string
	// right says that it lets in.
	right   bool
	elapsed []float64
}

// answersRow is how long answers to sign-ins take, one after the other on one connection, all cases in turns. Whoever is
// refused gets the same bytes in each case. Everybody signs in once: a right password replaces an imported record by one of
// ours, and a second sign-in would be another case.
func answersRow(b *bench) ([]figure, error) {
	own, imported, err := records(b.bcrypt)
	if err != nil {
		return nil, err
	}
	cases := []*signInCase{
		{what: "unknown address", email: "unknown-%06d@example.com", typed: words},
		{what: "unknown address, once more", email: "nobody0-%06d@example.com", typed: words},
		{what: "wrong password, argon2id", email: "own-bad-%06d@example.com", typed: otherWords},
		{what: "wrong password, bcrypt", email: "old-bad-%06d@example.com", typed: otherWords},
		{what: "right password, argon2id", email: "own-yes-%06d@example.com", typed: words, right: true},
		{what: "right password, bcrypt, replaced", email: "old-yes-%06d@example.com", typed: words, right: true},
	}
	var people []user
	for n := range b.answers + 1 { // one to warm up
		for i, r := range []password.Record{own, imported, own, imported} {
			people = append(people, user{email: fmt.Sprintf(cases[i+2].email, n), record: r})
		}
	}
	e, err := b.entrance(people, nil)
	if err != nil {
		return nil, err
	}
	defer e.Stop()
	t := &http.Transport{MaxConnsPerHost: 1, ResponseHeaderTimeout: time.Minute}
	defer t.CloseIdleConnections()
	refused := ""
	for n := range b.answers + 1 {
		for i := range cases {
			c := cases[(n+i)%len(cases)]
			if n%2 == 1 { // so that each case comes behind more than one other
				c = cases[(n+len(cases)-i)%len(cases)]
			}
			a, elapsed, err := e.signIn(t, fmt.Sprintf(c.email, n), c.typed, false)
			if err != nil {
				return nil, e.fate(fmt.Errorf("%s: %w", c.what, err))
			}
			switch {
			case a.right() != c.right || a.entered != c.right || !c.right && a.status != http.StatusForbidden:
				return nil, e.fate(fmt.Errorf("%s: status %d, signed in: %v", c.what, a.status, a.entered))
			case !c.right && refused == "":
				refused = a.same
			case !c.right && refused != a.same:
				return nil, fmt.Errorf("%s: another refusal than in the other cases\n%s\n\n%s", c.what, a.same, refused)
			}
			if n > 0 {
				c.elapsed = append(c.elapsed, float64(elapsed.Nanoseconds())/1e6)
			}
		}
	}
	return answerFigures(cases, fmt.Sprintf("%d each, bcrypt of cost %d", b.answers, b.bcrypt)), nil
}

// answerFigures are the medians and how far they are apart.
func answerFigures(cases []*signInCase, how string) []figure {
	const unit = "ms"
	var list []figure
	var all, refusals, unknown []float64
	earliest := cases[0].elapsed[0]
	for _, c := range cases {
		list = append(list, figure{what: c.what, floor: how, unit: unit, values: c.elapsed})
		m := median(c.elapsed)
		if all = append(all, m); c.right {
			continue
		}
		refusals = append(refusals, m)
		earliest = min(earliest, slices.Min(c.elapsed))
		if len(unknown) < 2 {
			unknown = append(unknown, m)
		}
	}
	list = append(list, figure{what: "release period: the earliest refusal", unit: unit, values: []float64{earliest}})
	for _, c := range cases {
		if !c.right {
			list = append(list, figure{what: "a period later: " + c.what, floor: how, values: []float64{late(c.elapsed, earliest)}})
		}
	}
	return append(list,
		figure{what: "largest difference of medians, refusals", floor: "each other", unit: unit, values: []float64{apart(refusals)}},
		figure{what: "largest difference of medians, all", floor: "each other", unit: unit, values: []float64{apart(all)}},
		figure{what: "difference of the two unknown ones", floor: "each other", unit: unit, values: []float64{apart(unknown)}},
	)
}

// late counts the answers that came a period later, or more.
func late(elapsed []float64, period float64) (n float64) {
	for _, t := range elapsed {
		if t > 1.5*period {
			n++
		}
	}
	return n
}

// apart is the largest difference.
func apart(values []float64) float64 { return slices.Max(values) - slices.Min(values) }
