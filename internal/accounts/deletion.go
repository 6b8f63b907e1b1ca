package accounts

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// DeletionGrace is how long an account whose owner deletes it is disabled before it is gone.
const DeletionGrace = 72 * time.Hour

// metaDeletions is the key of the accounts that are about to be deleted: a JSON object of ids, each with the time in seconds since 1970.
const metaDeletions = "deletions"

// deletion is what an account holds under seal while its owner deletes it.
type deletion struct {
	// Due is when the account goes, in seconds since 1970.
	Due int64 `json:"due"`
	// Flow is the id of the flow that undoes it: an undo is for its own deletion alone.
	Flow string `json:"flow"`
	// Disabled is set when an operator has disabled the account meanwhile: an undo leaves it so.
	Disabled bool `json:"disabled,omitempty"`
}

// BeginDeletion disables an account, which ends all that it has, and has it deleted at due by [Service.DeleteDue]. flow names what may undo it.
func (s *Service) BeginDeletion(tx storage.Tx, id, flow string, due time.Time) error {
	err := s.change(tx, id, true, func(r *storage.Account, p *private) bool {
		r.Status = storage.StatusDisabled
		p.Deletion = &deletion{Due: due.Unix(), Flow: flow}
		return true
	})
	if err != nil {
		return err
	}
	return changeDeletions(tx, func(all map[string]int64) { all[id] = due.Unix() })
}

// Deletion returns when an account goes that its owner has deleted, and which flow may undo that. due is zero for any other account.
func (s *Service) Deletion(tx storage.Tx, id string) (due time.Time, flow string, err error) {
	r, found, err := tx.Accounts().GetForUpdate(id)
	if err != nil || !found {
		return time.Time{}, "", err
	}
	p, err := s.unseal(r)
	if err != nil || p.Deletion == nil {
		return time.Time{}, "", err
	}
	return time.Unix(p.Deletion.Due, 0), p.Deletion.Flow, nil
}

// UndoDeletion keeps an account that its owner has deleted, and enables it unless an operator has disabled it meanwhile. What has ended stays
// ended. It does nothing for any other account.
func (s *Service) UndoDeletion(tx storage.Tx, id string) error {
	err := s.change(tx, id, true, func(r *storage.Account, p *private) bool {
		if p.Deletion == nil {
			return false
		}
		if !p.Deletion.Disabled {
			r.Status = storage.StatusActive
		}
		p.Deletion = nil
		return true
	})
	if err != nil {
		return err
	}
	return changeDeletions(tx, func(all map[string]int64) { delete(all, id) })
}

// DeleteDue deletes the accounts that have been due at now, and returns how many. Each goes in a step of its own that looks once more, so that an
// undo, and a second process that does the same, come before it or after it.
func (s *Service) DeleteDue(ctx context.Context, now time.Time) (deleted int, err error) {
	var all map[string]int64
	err = s.Store.View(ctx, func(tx storage.Tx) error {
		text, _, err := tx.Meta().Get(metaDeletions)
		if err == nil {
			all, err = readDeletions(text)
		}
		return err
	})
	for id, due := range all {
		if err != nil {
			break
		}
		if now.Unix() < due {
			continue
		}
		gone := false
		err = s.Store.Update(ctx, func(tx storage.Tx) (err error) {
			gone, err = s.deleteDue(tx, id, now)
			return err
		})
		if err == nil && gone {
			deleted++
		}
	}
	return deleted, err
}

// deleteDue deletes an account that is due. gone is false when it is not, any more or yet.
func (s *Service) deleteDue(tx storage.Tx, id string, now time.Time) (gone bool, err error) {
	r, found, err := tx.Accounts().GetForUpdate(id)
	if err != nil {
		return false, err
	}
	if found {
		p, err := s.unseal(r)
		if err != nil {
			return false, err
		}
		switch {
		case p.Deletion == nil: // kept
		case now.Unix() < p.Deletion.Due || p.isProtected(now):
			return false, nil
		default:
			gone = true
		}
	}
	if gone {
		if err := s.Delete(tx, id); err != nil {
			return false, err
		}
		e := storage.Event{Time: now, Name: "changed", Purpose: "account", Outcome: "deleted", Account: id}
		if err := tx.Events().Append(e, now.Add(storage.EventLifetime)); err != nil {
			return false, err
		}
	}
	return gone, changeDeletions(tx, func(all map[string]int64) { delete(all, id) })
}

// isProtected reports whether nothing about the account may be final yet. This is the place for whatever promises a person more time than
// [DeletionGrace]: the mailbox that the account had before a change of its address may take it back.
func (p *private) isProtected(now time.Time) bool {
	return p.TakeBack != nil && p.TakeBack.Flow.key().Alive(now)
}

// changeDeletions changes the accounts that are about to be deleted.
func changeDeletions(tx storage.Tx, change func(all map[string]int64)) error {
	text, _, err := tx.Meta().GetForUpdate(metaDeletions)
	if err != nil {
		return err
	}
	all, err := readDeletions(text)
	if err != nil {
		return err
	}
	change(all)
	if len(all) == 0 {
		return tx.Meta().Delete(metaDeletions)
	}
	if text, err = json.Marshal(all); err != nil {
		return err
	}
	return tx.Meta().Put(metaDeletions, text)
}

func readDeletions(text []byte) (all map[string]int64, err error) {
	all = map[string]int64{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, fmt.Errorf("account: the list of those to be deleted: %w", err)
		}
	}
	return all, nil
}

// HasOther reports whether an active account beside the one with this id has a role.
func (s *Service) HasOther(tx storage.Tx, id, role string) (bool, error) {
	for after := ""; ; {
		list, err := tx.Accounts().List(after, importBatch)
		if err != nil {
			return false, err
		}
		for _, r := range list {
			if r.ID != id && r.Status == storage.StatusActive && slices.Contains(r.Roles, role) {
				return true, nil
			}
		}
		if len(list) < importBatch {
			return false, nil
		}
		after = list[len(list)-1].ID
	}
}
