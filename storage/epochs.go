package storage

// EpochKeys names what [ReadEpochs] reads.
func EpochKeys(mailbox Digest, account string) []EpochKey {
	return []EpochKey{GlobalEpoch, MailboxEpoch(mailbox), AccountEpoch(account)}
}

// ReadEpochs returns the three epochs of a mailbox and an account as they are now. The account may be empty, as for a decoy: the
// same records are read, and its epoch is 0. With forUpdate, the reads of mailbox and account guard a write of the same step.
func ReadEpochs(tx Tx, mailbox Digest, account string, forUpdate bool) (e Epochs, err error) {
	get := tx.Epochs().Get
	if e.Global, err = get(GlobalEpoch); err != nil {
		return Epochs{}, err
	}
	if forUpdate {
		get = tx.Epochs().GetForUpdate
	}
	if e.Mailbox, err = get(MailboxEpoch(mailbox)); err != nil {
		return Epochs{}, err
	}
	if e.Account, err = get(AccountEpoch(account)); err != nil {
		return Epochs{}, err
	}
	if account == "" {
		e.Account = 0
	}
	return e, nil
}
