package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Node is one of the processes that share a database.
type Node struct {
	ID      string `json:"id"`
	Host    string `json:"host"`
	Process int    `json:"process"`
	Version string `json:"version,omitempty"`
	// Schema is the newest change of the schema that it knows.
	Schema int `json:"schema"`
	// Config has a digest of each part of what nodes must have alike, Secrets are the fingerprints of its keys.
	Config  string   `json:"config,omitempty"`
	Secrets []string `json:"secrets,omitempty"`
	// Skew is how far the clock of its machine is ahead of the database's, in seconds.
	Skew    float64   `json:"skew_seconds"`
	Started time.Time `json:"started"`
	Beat    time.Time `json:"beat"`
	// Self is set for the node that answers.
	Self bool `json:"self,omitempty"`
	// Differs says what it has other than the gate that answers, and what to do.
	Differs []string `json:"differs,omitempty"`
}

// Resealed says by which key of `secret` the database is sealed.
type Resealed struct {
	Fingerprint string `json:"fingerprint"`
	// Changed is unset when it was sealed by that key already.
	Changed bool `json:"changed"`
}

// warnSkew is from where on the clock of a node is told.
const warnSkew = 5 * time.Second

// Nodes implements Operations.
func (svc *Service) Nodes(ctx context.Context) ([]Node, error) {
	shared, ok := svc.Vault.Store.(storage.Shared)
	if !ok {
		return nil, conflict("a database in a file has one node: several share one in PostgreSQL (storage postgres)")
	}
	list, err := shared.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	newest := 0
	for _, n := range list {
		newest = max(newest, n.Schema)
	}
	nodes := []Node{}
	for _, n := range list {
		nodes = append(nodes, Node{
			ID: n.ID, Host: n.Host, Process: n.Process, Version: n.Version, Schema: n.Schema, Config: n.Config, Secrets: n.Secrets,
			Skew: n.Skew.Round(time.Millisecond).Seconds(), Started: n.Started.UTC().Truncate(time.Second), Beat: n.Beat.UTC().Truncate(time.Second),
			Self: n.Self, Differs: svc.differs(n, newest),
		})
	}
	return nodes, nil
}

// differs says what a node has other than this gate, or than a newer one.
func (svc *Service) differs(n storage.Node, newest int) (list []string) {
	if n.Config != "" && svc.Self.Config != "" && n.Config != svc.Self.Config {
		list = append(list, fmt.Sprintf("another configuration (%s): make that the same on all nodes", strings.Join(otherParts(n.Config, svc.Self.Config), ", ")))
	}
	for _, secret := range svc.Self.Secrets {
		if len(n.Secrets) > 0 && !slices.Contains(n.Secrets, secret) {
			list = append(list, fmt.Sprintf("it lacks the key %s: add it to its secret", secret))
		}
	}
	if n.Skew.Abs() > warnSkew {
		list = append(list, fmt.Sprintf("its clock is off by %s: set it by NTP", n.Skew.Round(time.Second)))
	}
	if n.Schema < newest {
		list = append(list, fmt.Sprintf("an older version, which knows the schema %d of %d: upgrade it", n.Schema, newest))
	}
	return list
}

// otherParts names the parts of a configuration that differ: each is a name, a colon and a digest.
func otherParts(one, two string) (names []string) {
	parts := strings.Fields(two)
	for _, part := range strings.Fields(one) {
		if name, _, named := strings.Cut(part, ":"); named && !slices.Contains(parts, part) {
			names = append(names, name)
		}
	}
	if len(names) == 0 { // a version that has other parts
		return []string{"all of it"}
	}
	return names
}

// Reseal implements Operations. It is refused while a node lacks the key: after its next start that node could not open the database.
func (svc *Service) Reseal(ctx context.Context) (done Resealed, err error) {
	if svc.Seal == nil || len(svc.Self.Secrets) == 0 {
		return done, conflict("the key file of this gate holds the one key that there is: configure secret first")
	}
	done.Fingerprint = svc.Self.Secrets[0]
	if _, ok := svc.Vault.Store.(storage.Shared); ok {
		nodes, err := svc.Nodes(ctx)
		if err != nil {
			return done, err
		}
		for _, n := range nodes {
			if len(n.Secrets) > 0 && !slices.Contains(n.Secrets, done.Fingerprint) {
				return done, conflict("process %d on %s lacks the key %s: add it to the secret of that node first", n.Process, n.Host, done.Fingerprint)
			}
		}
	}
	e := svc.event(ctx, eventChanged, "database", "resealed")
	done.Changed, err = svc.Seal(ctx, func(tx storage.Tx) error { return audit(tx, e) })
	if err == nil && done.Changed {
		svc.report(ctx, e)
	}
	return done, err
}
