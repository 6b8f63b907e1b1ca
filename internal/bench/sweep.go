package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// sweepRow deletes expired records.
func sweepRow(b *bench) ([]figure, error) {
	var figures []figure
	for _, size := range b.sizes[1:] {
		g, err := newGate(b.path("sweep.db"))
		if err != nil {
			return figures, err
		}
		more, err := sweep(g, size)
		figures = append(figures, more...)
		if err = errors.Join(err, g.close(), os.Remove(g.path)); err != nil {
			return figures, err
		}
	}
	return figures, nil
}

func sweep(g *gate, size int) ([]figure, error) {
	now := g.vault.Clock.Now()
	for from := 0; from < size; from += chunk {
		err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
			for i := from; i < min(from+chunk, size); i++ {
				k := storage.Key{End: now.Unix() - int64(size-i)/100 - 1, Digest: inOrder(i, size)}
				if err := tx.Tokens().Create(storage.Token{Key: k, Kind: storage.TokenLink, Flow: k}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	var longest, committing time.Duration
	deleted, began := 0, time.Now()
	for {
		// One transaction at a time, so that each can be measured.
		g.disk.longest.Store(0)
		start := time.Now()
		n, err := g.bolt.Sweep(context.Background(), now, 512)
		if err != nil {
			return nil, err
		}
		if elapsed := time.Since(start); elapsed > longest {
			longest, committing = elapsed, time.Duration(g.disk.longest.Load())
		}
		if deleted += n; n == 0 {
			break
		}
	}
	if deleted != size {
		return nil, fmt.Errorf("swept %d of %d", deleted, size)
	}
	each := figure{what: fmt.Sprintf("sweep of %d, a record", size), unit: "µs", values: []float64{float64(time.Since(began).Microseconds()) / float64(size)}}
	longestOf := figure{what: fmt.Sprintf("sweep of %d, the longest transaction", size), unit: "ms", values: []float64{longest.Seconds() * 1000}}
	commit := figure{what: "of that, the commit: writing and syncing its pages", unit: "ms", values: []float64{committing.Seconds() * 1000}}
	after, err := bytesFigure(figure{what: "bytes written to ask for a link afterwards, 1 caller"}, g)
	return []figure{atMost(each, 1), atMost(longestOf, 2), commit, after}, err
}
