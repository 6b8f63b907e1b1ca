package flow

import (
	"context"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// shifting is a store whose records move under a step: the first locked read of a flow shows it ended.
type shifting struct {
	storage.Store
	left int
}

type shiftingTx struct {
	storage.Tx
	s *shifting
}

type shiftingFlows struct {
	storage.Flows
	s *shifting
}

func (s *shifting) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return s.Store.Update(ctx, func(tx storage.Tx) error { return fn(shiftingTx{tx, s}) })
}

func (t shiftingTx) Flows() storage.Flows { return shiftingFlows{t.Tx.Flows(), t.s} }

func (f shiftingFlows) GetForUpdate(k storage.Key) (storage.Flow, bool, error) {
	flow, found, err := f.Flows.GetForUpdate(k)
	if f.s.left > 0 {
		f.s.left--
		flow.State, found = storage.FlowRedeemed, true
	}
	return flow, found, err
}

func TestTOK1_AStepWhoseRecordsMoveIsUndoneAndRunAgain(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		mail := b.mustAsk(Activation, "ada@example.com")
		o := must[LinkPreview](t)(b.open(mail.link))
		for _, left := range []int{maxConflicts, 1} {
			g.Store = &shifting{Store: g.bolt, left: left}
			_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, H: o.H})
			if left == maxConflicts {
				wantErr(t, err, ErrUnavailable)
				if g.accounts() != 0 {
					t.Fatal("half of a step is left")
				}
				continue
			}
			if err != nil || g.accounts() != 1 {
				t.Errorf("%v, %d accounts", err, g.accounts())
			}
		}
	})
}
