package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// prefetchTexts are the statements of Prefetch. $1 and $2 are the ends and the digests of keys.
type prefetchTexts struct {
	counters, epochs, accounts, mailboxes, meta            string
	flows, flowEpochs, flowAccounts                        string
	tokens, tokenFlows, tokenEpochs, tokenAccounts         string
	sessions, sessionParents, sessionEpochs, sessionOwners string
	machineTokens, machineEpochs, machineAccounts          string
	mailboxEpochs                                          string
	due                                                    map[storage.Lane]string
}

func newPrefetchTexts(schema string, k *kinds) (p prefetchTexts) {
	const byKeys = " where (t.ends, t.digest) in (select * from unnest($1::timestamptz[], $2::bytea[]))"
	from := func(columns, table string) string { return "select " + columns + " from " + table + " t" }
	keyed := func(columns, table string) string { return from(columns, table) + byKeys }
	epochsOf := func(records string) string {
		return "with r as (" + records + ") select key, ver from " + schema + ".epochs where key = '\\x67' or key in (" +
			"select '\\x6d'::bytea || mailbox from r union all select '\\x61'::bytea || convert_to(account, 'UTF8') from r)"
	}
	accountsOf := func(records string) string {
		return "with r as (" + records + ") " + from(k.accounts.columns, k.accounts.table) +
			" where id in (select account from r) or mailbox in (select mailbox from r)"
	}
	p.counters = "select ends, digest, n from " + schema + ".counters t" + byKeys
	p.epochs = from(k.epochs.columns, k.epochs.table) + " where key = any($1)"
	p.accounts = from(k.accounts.columns, k.accounts.table) + " where id = any($1)"
	p.mailboxes = from(k.accounts.columns, k.accounts.table) + " where mailbox = any($1)"
	p.mailboxEpochs = "select key, ver from " + schema + ".epochs where key in (" +
		"select '\\x61'::bytea || convert_to(id, 'UTF8') from " + k.accounts.table + " where mailbox = any($1))"
	p.due = newDueTexts(k.mails.columns, k.mails.table)
	p.meta = from(k.meta.columns, k.meta.table) + " where name = any($1)"

	p.flows = keyed(k.flows.columns, k.flows.table)
	who := keyed("mailbox, account", k.flows.table)
	p.flowAccounts = accountsOf(who)
	p.flowEpochs = epochsOf(who + " union all select mailbox, id from " + k.accounts.table + " where mailbox in (" +
		keyed("mailbox", k.flows.table) + ")")

	p.tokens = keyed(k.tokens.columns, k.tokens.table)
	ofTokens := " where (f.ends, f.digest) in (" + keyed("flow_ends, flow_digest", k.tokens.table) + ")"
	p.tokenFlows = "select " + k.flows.columns + " from " + k.flows.table + " f" + ofTokens
	who = "select mailbox, account from " + k.flows.table + " f" + ofTokens
	p.tokenEpochs, p.tokenAccounts = epochsOf(who), accountsOf(who)

	p.sessions = keyed(k.sessions.columns, k.sessions.table)
	ofSessions := " where (p.ends, p.digest) in (" + keyed("parent_ends, parent_digest", k.sessions.table) + ")"
	p.sessionParents = "select " + k.sessions.columns + " from " + k.sessions.table + " p" + ofSessions
	who = keyed("mailbox, account", k.sessions.table) + " union all select mailbox, account from " + k.sessions.table + " p" + ofSessions
	p.sessionEpochs, p.sessionOwners = epochsOf(who), accountsOf(who)

	p.machineTokens = keyed(k.machineTokens.columns, k.machineTokens.table)
	who = keyed("mailbox, account", k.machineTokens.table)
	p.machineEpochs, p.machineAccounts = epochsOf(who), accountsOf(who)
	return p
}

// Prefetch reads everything that l names, and what that leads to, in one round trip.
func (t *tx) Prefetch(l storage.Lookups) error {
	if err := t.usable(); err != nil {
		return err
	}
	b, texts := &pgx.Batch{}, &t.store.prefetch
	if args, keys := keyList(l.Counters); len(keys) > 0 {
		b.Queue(texts.counters, args...).Query(each(t.collectCounter))
	}
	if len(l.Epochs) > 0 {
		b.Queue(texts.epochs, epochKeys(l.Epochs)).Query(each(t.epochs.collect))
	}
	if len(l.Accounts) > 0 {
		b.Queue(texts.accounts, l.Accounts).Query(each(t.accounts.collect))
	}
	if len(l.Mailboxes) > 0 {
		b.Queue(texts.mailboxes, digestsArg(l.Mailboxes)).Query(each(t.accounts.collect))
		b.Queue(texts.mailboxEpochs, digestsArg(l.Mailboxes)).Query(each(t.epochs.collect))
	}
	if len(l.Meta) > 0 {
		b.Queue(texts.meta, l.Meta).Query(each(t.meta.collect))
	}
	if args, keys := keyList(l.Flows); len(keys) > 0 {
		b.Queue(texts.flows, args...).Query(each(t.flows.collect))
		t.ahead(b, texts.flowEpochs, texts.flowAccounts, args)
	}
	if args, keys := keyList(l.Tokens); len(keys) > 0 {
		b.Queue(texts.tokens, args...).Query(each(t.tokens.collect))
		b.Queue(texts.tokenFlows, args...).Query(each(t.flows.collect))
		t.ahead(b, texts.tokenEpochs, texts.tokenAccounts, args)
	}
	if args, keys := keyList(l.Sessions); len(keys) > 0 {
		b.Queue(texts.sessions, args...).Query(each(t.sessions.collect))
		b.Queue(texts.sessionParents, args...).Query(each(t.sessions.collect))
		t.ahead(b, texts.sessionEpochs, texts.sessionOwners, args)
	}
	if args, keys := keyList(l.MachineTokens); len(keys) > 0 {
		b.Queue(texts.machineTokens, args...).Query(each(t.machineTokens.collect))
		t.ahead(b, texts.machineEpochs, texts.machineAccounts, args)
	}
	for _, m := range l.Leased {
		t.mails.hand(m.ID, m)
	}
	for _, d := range l.Due {
		outbox{&t.mails}.readDue(b, d)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := t.send(b, true); err != nil {
		return err
	}
	t.absences(l)
	return nil
}

// ahead queues the reads of the epochs and the accounts of records.
func (t *tx) ahead(b *pgx.Batch, epochs, accounts string, args []any) {
	b.Queue(epochs, args...).Query(each(t.epochs.collect))
	b.Queue(accounts, args...).Query(each(t.accounts.collect))
}

// absences notes what was asked for, or belongs to what was found, and is not there.
func (t *tx) absences(l storage.Lookups) {
	for _, k := range l.Counters {
		t.counter(k, 0)
	}
	for _, k := range l.Epochs {
		t.epochs.missing(k)
	}
	for _, id := range l.Accounts {
		t.accounts.missing(id)
	}
	for _, d := range l.Mailboxes {
		t.epochs.missing(storage.AccountEpoch(t.lookedUp(d)))
	}
	for _, name := range l.Meta {
		t.meta.missing(name)
	}
	for _, k := range l.Flows {
		if f := t.flows.missing(k); f.found {
			t.belongings(f)
			t.epochs.missing(storage.AccountEpoch(t.lookedUp(f.rec.Mailbox)))
		}
	}
	for _, k := range l.Tokens {
		if token := t.tokens.missing(k); token.found && !token.rec.Flow.IsZero() {
			t.belongings(t.flows.missing(token.rec.Flow))
		}
	}
	for _, k := range l.Sessions {
		if s := t.sessions.missing(k); s.found {
			t.owned(s.rec.Mailbox, s.rec.Account)
			if !s.rec.Parent.IsZero() {
				if p := t.sessions.missing(s.rec.Parent); p.found {
					t.owned(p.rec.Mailbox, p.rec.Account)
				}
			}
		}
	}
	for _, k := range l.MachineTokens {
		if m := t.machineTokens.missing(k); m.found {
			t.owned(m.rec.Mailbox, m.rec.Account)
		}
	}
}

func (t *tx) belongings(f *row[storage.Flow]) {
	if f.found {
		t.owned(f.rec.Mailbox, f.rec.Account)
	}
}

// owned notes that the epochs and the account of a mailbox and of an account's id were read.
func (t *tx) owned(mailbox storage.Digest, account string) {
	t.epochs.missing(storage.GlobalEpoch)
	t.epochs.missing(storage.MailboxEpoch(mailbox))
	t.epochs.missing(storage.AccountEpoch(account))
	t.lookedUp(mailbox)
	if account != "" {
		t.accounts.missing(account)
	}
}

// lookedUp notes which of the accounts that were read a mailbox has, and returns its id, empty for none.
func (t *tx) lookedUp(mailbox storage.Digest) (id string) {
	if id, known := t.mailboxes[mailbox]; known {
		return id
	}
	for k, one := range t.accounts.m {
		if one.stored > 0 && !one.write && one.rec.Mailbox == mailbox {
			id = k
		}
	}
	t.mailboxes[mailbox] = id
	return id
}

// keyList returns the parameters of a list of keys, and those of them that a record can have.
func keyList(keys []storage.Key) (args []any, valid []storage.Key) {
	for _, k := range keys {
		if validKey(k) {
			valid = append(valid, k)
		}
	}
	ends, digests := keysArgs(valid)
	return []any{ends, digests}, valid
}
