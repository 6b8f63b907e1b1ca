package storagetest

import (
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var flowTests = map[string]func(*testing.T, storage.Store){
	"CreateAndGet":              testFlowCreate,
	"ConsumeResend":             testConsumeResend,
	"TOK4_ResendEndsAtTheEnd":   testResendEdge,
	"TOK8_AttemptCode":          testAttemptCode,
	"TOK8_ZeroCodesMatchNone":   testZeroCode,
	"BindKeepsTheFirst":         testBind,
	"FinishOnce":                testFinish,
	"NothingMovesAFinishedFlow": testFinishedFlow,
}

func wantFlow(t *testing.T, s storage.Store, want storage.Flow) {
	t.Helper()
	view(t, s, func(tx storage.Tx) error {
		got, found, err := tx.Flows().Get(want.Key)
		if err != nil {
			return err
		}
		equal(t, "Get", pair(got, found), pair(want, true))
		got, found, err = tx.Flows().GetForUpdate(want.Key)
		equal(t, "GetForUpdate", pair(got, found), pair(want, true))
		return err
	})
}

func createFlow(t *testing.T, s storage.Store, f storage.Flow) storage.Flow {
	t.Helper()
	update(t, s, func(tx storage.Tx) error { return tx.Flows().Create(f) })
	return f
}

func testFlowCreate(t *testing.T, s storage.Store) {
	wantFlow(t, s, createFlow(t, s, flow("full", now.Add(time.Hour))))
	wantFlow(t, s, createFlow(t, s, storage.Flow{Key: key(now, "empty")}))
	view(t, s, func(tx storage.Tx) error {
		for _, k := range []storage.Key{{}, key(now, "none"), {End: -1, Digest: digest()}, {End: 1 << 62, Digest: digest()}} {
			_, found, err := tx.Flows().Get(k)
			if found || err != nil {
				t.Errorf("Get(%v) = %v, %v", k, found, err)
			}
		}
		return nil
	})
}

func testConsumeResend(t *testing.T, s storage.Store) {
	f := createFlow(t, s, flow("f", now.Add(time.Hour)))
	take := func(at time.Time, code storage.Digest, want storage.ResendResult) {
		t.Helper()
		update(t, s, func(tx storage.Tx) error {
			got, res, err := tx.Flows().ConsumeResend(f.Key, at, 2*time.Minute, code)
			equal(t, "ConsumeResend", pair(got, res), pair(f, want))
			return err
		})
		wantFlow(t, s, f)
	}
	take(f.NextResend.Add(-time.Microsecond), digest("early"), storage.ResendTooEarly)

	at := f.NextResend
	f.ResendsLeft, f.NextResend, f.Codes = 1, at.Add(2*time.Minute), append(f.Codes, digest("second"))
	take(at, digest("second"), storage.ResendConsumed)

	at = f.NextResend
	f.ResendsLeft, f.NextResend = 0, at.Add(2*time.Minute)
	take(at, storage.Digest{}, storage.ResendConsumed) // a mail without a code
	take(at, digest("third"), storage.ResendSpent)     // spent tells more than too early
	update(t, s, func(tx storage.Tx) error {
		_, res, err := tx.Flows().ConsumeResend(key(now.Add(time.Hour), "none"), now, 0, digest())
		equal(t, "missing", res, storage.ResendMissing)
		return err
	})
}

func testResendEdge(t *testing.T, s storage.Store) {
	end := now.Add(time.Hour)
	for _, c := range []struct {
		at   time.Time
		want storage.ResendResult
	}{
		{end, storage.ResendMissing},
		{end.Add(time.Second), storage.ResendMissing},
		{end.Add(-time.Second), storage.ResendConsumed},
	} {
		f := createFlow(t, s, flow(c.at.String(), end))
		update(t, s, func(tx storage.Tx) error {
			_, res, err := tx.Flows().ConsumeResend(f.Key, c.at, 0, digest())
			equal(t, c.at.Sub(end).String(), res, c.want)
			return err
		})
	}
}

func testAttemptCode(t *testing.T, s storage.Store) {
	f := flow("f", now.Add(time.Hour))
	f.Codes = append(f.Codes, digest("second"))
	createFlow(t, s, f)
	take := func(at time.Time, code storage.Digest, want storage.CodeResult) {
		t.Helper()
		update(t, s, func(tx storage.Tx) error {
			got, res, err := tx.Flows().AttemptCode(f.Key, at, code, 2)
			equal(t, "AttemptCode", pair(got, res), pair(f, want))
			return err
		})
		wantFlow(t, s, f)
	}
	take(now, f.Codes[0], storage.CodeRight)
	take(now, f.Codes[1], storage.CodeRight) // the code of every mail works
	f.WrongCodes = 1
	take(now, digest("wrong"), storage.CodeWrong)
	take(now, f.Codes[0], storage.CodeRight) // and is not counted
	f.WrongCodes = 2
	take(now, digest("wrong"), storage.CodeWrong)
	take(now, f.Codes[0], storage.CodeOff) // a right one comes too late
	take(now, digest("wrong"), storage.CodeOff)
	take(f.Key.Ends(), f.Codes[0], storage.CodeMissing)
	update(t, s, func(tx storage.Tx) error {
		_, res, err := tx.Flows().AttemptCode(key(now.Add(time.Hour), "none"), now, digest(), 2)
		equal(t, "missing", res, storage.CodeMissing)
		return err
	})
}

func testZeroCode(t *testing.T, s storage.Store) {
	f := flow("f", now.Add(time.Hour))
	f.Codes = []storage.Digest{{}}
	createFlow(t, s, f)
	update(t, s, func(tx storage.Tx) error {
		_, res, err := tx.Flows().AttemptCode(f.Key, now, storage.Digest{}, 5)
		equal(t, "result", res, storage.CodeWrong)
		return err
	})
}

func testBind(t *testing.T, s storage.Store) {
	f := createFlow(t, s, flow("f", now.Add(time.Hour)))
	bind := func(account string, epoch uint64, want bool) {
		t.Helper()
		update(t, s, func(tx storage.Tx) error {
			bound, err := tx.Flows().Bind(f.Key, account, epoch)
			equal(t, "bound", bound, want)
			return err
		})
		wantFlow(t, s, f)
	}
	f.Bound, f.Account, f.Epochs.Account = true, "me", 4
	bind("me", 4, true)
	bind("me", 5, true)     // the epoch of the first binding stays, so that what ended meanwhile stays ended
	bind("other", 4, false) // and nothing moves a flow to another account
	update(t, s, func(tx storage.Tx) error {
		bound, err := tx.Flows().Bind(key(now, "none"), "me", 1)
		equal(t, "bound", bound, false)
		return err
	})
}

func testFinish(t *testing.T, s storage.Store) {
	f := createFlow(t, s, flow("f", now.Add(time.Hour)))
	f.State, f.EndedBy, f.Session = storage.FlowRedeemed, digest("token"), key(now.Add(time.Hour), "session")
	for _, want := range []bool{true, false} {
		update(t, s, func(tx storage.Tx) error {
			finished, err := tx.Flows().Finish(f.Key, storage.FlowRedeemed, f.EndedBy, f.Session)
			equal(t, "finished", finished, want)
			return err
		})
		wantFlow(t, s, f)
	}
	update(t, s, func(tx storage.Tx) error {
		finished, err := tx.Flows().Finish(key(now, "none"), storage.FlowCancelled, digest(), storage.Key{})
		equal(t, "finished", finished, false)
		if _, err := tx.Flows().Finish(f.Key, storage.FlowOpen, digest(), storage.Key{}); err == nil {
			t.Error("a flow was opened again")
		}
		return err
	})
}

func testFinishedFlow(t *testing.T, s storage.Store) {
	for _, state := range []storage.FlowState{storage.FlowRedeemed, storage.FlowCancelled} {
		f := createFlow(t, s, flow("f"+string(rune('0'+state)), now.Add(time.Hour)))
		f.State = state
		update(t, s, func(tx storage.Tx) error {
			if _, err := tx.Flows().Finish(f.Key, state, storage.Digest{}, storage.Key{}); err != nil {
				return err
			}
			_, code, err := tx.Flows().AttemptCode(f.Key, now, f.Codes[0], 5)
			if err != nil {
				return err
			}
			_, resend, err := tx.Flows().ConsumeResend(f.Key, f.NextResend, 0, digest())
			if err != nil {
				return err
			}
			bound, err := tx.Flows().Bind(f.Key, "me", 1)
			equal(t, "results", pair(pair(code, resend), bound), pair(pair(storage.CodeMissing, storage.ResendMissing), false))
			return err
		})
		wantFlow(t, s, f)
	}
}
