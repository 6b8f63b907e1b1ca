package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/internal/transfer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Bounds of one import.
const (
	// MaxImport is the largest number of accounts of one file. All of them are in memory until the whole file has been
	// checked, about 1 KiB each.
	MaxImport = 100_000
	// MaxImportSize is the size of the largest file, in bytes.
	MaxImportSize = 128 << 20
	// maxAtomic is how many accounts are written in one step, all or none, while other writers wait: half a second.
	maxAtomic = 2000
	// batchSize is how many are looked up, and from a larger file written, in one step.
	batchSize = 500
	// maxBadLines is how many bad lines are reported; a file with more is of another kind and is not read further.
	maxBadLines = 10_000
	// maxCosts is how many costs the password records of one file may have: each is measured, and counted in the store.
	maxCosts = 64
)

// ImportOptions say how a file is read and what is written.
type ImportOptions struct {
	// Format is one of those of package transfer.
	Format string `json:"format"`
	// DryRun writes nothing.
	DryRun bool `json:"dry_run"`
	// SkipBad writes the valid lines although others are bad.
	SkipBad bool `json:"skip_bad"`
}

// ImportReport says what became of the accounts of a file.
type ImportReport struct {
	// Lines is the number of accounts in the file, bad ones included.
	Lines int `json:"lines"`
	// Added is how many accounts were made, or in a dry run would be.
	Added int `json:"added"`
	// Existing is how many accounts existed before, exactly as the file has them. They are left as they are.
	Existing int `json:"already_there"`
	// LeftOut is how many accounts come without a name or a password because the file does not say that the mailbox is
	// verified.
	LeftOut int `json:"left_out"`
	// Bad are the lines that cannot be imported, in their order.
	Bad    []BadLine `json:"bad"`
	DryRun bool      `json:"dry_run"`
	// Done reports whether every valid line is in the store now. If not, Added accounts are.
	Done bool `json:"done"`
}

// BadLine says why a line is not imported. It never holds a password record.
type BadLine struct {
	Line int `json:"line"`
	// Email is the address, empty if the line has no valid one.
	Email  string `json:"email,omitempty"`
	Reason string `json:"reason"`
}

// Import implements Operations. The file is read once and checked wholly before anything is written.
func (svc *Service) Import(ctx context.Context, in io.Reader, o ImportOptions) (ImportReport, error) {
	m := &importing{
		svc: svc, o: o, report: ImportReport{DryRun: o.DryRun, Bad: []BadLine{}},
		lines: map[[16]byte]int{}, costs: map[password.Cost]bool{}, now: svc.Vault.Clock.Now(),
	}
	err := m.read(ctx, in)
	switch {
	case err != nil:
		return m.report, err
	case len(m.report.Bad) > 0 && !o.SkipBad:
		return m.report, nil
	case o.DryRun:
		m.report.Added = len(m.valid)
		return m.report, nil
	}
	// The decision has been made: a client that goes away now does not leave half of a file behind.
	ctx = context.WithoutCancel(ctx)
	if err := m.measure(ctx); err != nil {
		return m.report, err
	}
	err = m.writeAll(ctx)
	m.sort()
	if err != nil && !errors.Is(err, errStopped) {
		return m.report, fmt.Errorf("%d accounts have been written, and then: %w; the same import again goes on from there", m.report.Added, err)
	}
	m.report.Done = err == nil
	return m.report, nil
}

func (m *importing) sort() {
	slices.SortFunc(m.report.Bad, func(a, b BadLine) int { return a.Line - b.Line })
}

// importing is one import.
type importing struct {
	svc    *Service
	o      ImportOptions
	report ImportReport
	now    time.Time
	// lines has the line of each mailbox, under a part of its keyed digest.
	lines map[[16]byte]int
	costs map[password.Cost]bool
	// part are accounts that have not been looked up yet, valid those that are to be written.
	part, valid []candidate
}

// candidate is a well-formed account of a file.
type candidate struct {
	line int
	in   accounts.ImportAccount
	addr address.Address
}

func (m *importing) addBad(line int, addr address.Address, reason string) error {
	if len(m.report.Bad) == maxBadLines {
		return invalid("there are more than %d bad lines, the first is line %d: %s; nothing has been written",
			maxBadLines, m.report.Bad[0].Line, m.report.Bad[0].Reason)
	}
	m.report.Bad = append(m.report.Bad, BadLine{line, addr.Display(), reason})
	return nil
}

// read checks the whole file.
func (m *importing) read(ctx context.Context, in io.Reader) error {
	r, err := transfer.NewReader(&bounded{in: in, left: MaxImportSize}, m.o.Format)
	if err != nil {
		return unreadable(err)
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err = unreadable(err); errors.As(err, new(*Error)) {
			return err
		}
		if m.report.Lines++; m.report.Lines > MaxImport {
			return tooLarge("the file has more than %d accounts", MaxImport)
		}
		if err == nil {
			err = m.validate(row)
		}
		var wrong *transfer.LineError
		if errors.As(err, &wrong) {
			addr, _ := address.Parse(row.Email) // the report repeats valid addresses only
			err = m.addBad(wrong.Line, addr, wrong.Reason)
		}
		if err == nil && len(m.part) == batchSize {
			err = m.lookUp(ctx)
		}
		if err != nil {
			return err
		}
	}
	err = m.lookUp(ctx)
	m.sort()
	return err
}

// errTooLarge ends reading a file of more than MaxImportSize.
var errTooLarge = errors.New("too large")

// bounded fails with errTooLarge behind the bound of a file.
type bounded struct {
	in   io.Reader
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.left+1)])
	b.left -= int64(n)
	return n, err
}

// tooLarge refuses a file beyond a bound.
func tooLarge(format string, args ...any) error {
	return &Error{TooLarge, fmt.Sprintf(format, args...) +
		"; nothing has been written: split it into files of fewer accounts, each with the header line if it is CSV, and import them one after the other"}
}

// unreadable words the errors after which a file cannot be read further.
func unreadable(err error) error {
	switch {
	case err == nil || errors.As(err, new(*transfer.LineError)):
		return err
	case errors.As(err, new(*transfer.FileError)):
		return invalid("%v; nothing has been written", err)
	case errors.Is(err, errTooLarge):
		return tooLarge("the file is larger than %d MiB", MaxImportSize>>20)
	}
	return invalid("reading the file: %v; nothing has been written", err)
}

// validate checks what the file alone can show.
func (m *importing) validate(row transfer.Row) error {
	in, addr, err := row.Account()
	if err != nil {
		return err
	}
	mailbox := addr.Mailbox(m.svc.Vault.Ring)
	key := [16]byte(mailbox[:])
	if before := m.lines[key]; before > 0 {
		return &transfer.LineError{Line: row.Line, Reason: fmt.Sprintf("the mailbox is in line %d already", before)}
	}
	m.lines[key] = row.Line
	if in.Verified && !in.Record.IsZero() && !m.costs[in.Record.Cost()] {
		if len(m.costs) == maxCosts {
			return &transfer.LineError{Line: row.Line, Reason: fmt.Sprintf("the file has password records of more than %d different costs", maxCosts)}
		}
		m.costs[in.Record.Cost()] = true
	}
	if in.Created.After(m.now) {
		in.Created = time.Time{} // the store takes the present time
	}
	m.part = append(m.part, candidate{row.Line, in, addr})
	return nil
}

// lookUp checks a part of the file against the store.
func (m *importing) lookUp(ctx context.Context) error {
	found := make([]presence, len(m.part))
	err := m.svc.Vault.Store.View(ctx, func(tx storage.Tx) (err error) {
		for i, c := range m.part {
			if found[i], err = m.svc.present(tx, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, c := range m.part {
		switch found[i] {
		case unchanged:
			m.report.Existing++
		case differs:
			if err := m.addBad(c.line, c.addr, "the mailbox has an account already, which differs"); err != nil {
				return err
			}
		default:
			if !c.in.Verified && (c.in.Name != "" || !c.in.Record.IsZero()) {
				m.report.LeftOut++
			}
			m.valid = append(m.valid, c)
		}
	}
	m.part = m.part[:0]
	return nil
}

// presence is whether a mailbox has an account, and whether it is as the file has it.
type presence int

const (
	absent presence = iota
	unchanged
	differs
)

func (svc *Service) present(tx storage.Tx, c candidate) (presence, error) {
	stored, found, err := tx.Accounts().ByMailbox(c.addr.Mailbox(svc.Vault.Ring))
	if err != nil || !found {
		return absent, err
	}
	has, _, err := svc.Vault.Accounts.Credentials(tx, stored.ID)
	if err != nil {
		return differs, err
	}
	want := accounts.Account{
		ID: stored.ID, Email: c.addr.Typed(), Status: accounts.Active, Roles: slices.Clone(c.in.Roles), Language: c.in.Language, Timezone: c.in.Timezone,
	}
	record := ""
	if c.in.Verified {
		want.Name, record = c.in.Name, c.in.Record.Text()
	}
	if c.in.Disabled {
		want.Status = accounts.Disabled
	}
	slices.Sort(want.Roles)
	want.Roles = slices.Compact(want.Roles)
	a := has.Account
	same := a.Email == want.Email && a.Name == want.Name && a.Language == want.Language && a.Timezone == want.Timezone && a.Status == want.Status &&
		slices.Equal(a.Roles, want.Roles) && has.Passwords.Current.Text() == record &&
		(c.in.Created.IsZero() || stored.Created.Equal(c.in.Created))
	if same {
		return unchanged, nil
	}
	return differs, nil
}

// measure lets answers to sign-ins wait for the maximalCosts records of the file, before there is an account with one.
func (m *importing) measure(ctx context.Context) error {
	if m.svc.Flows.Passwords == nil || len(m.costs) == 0 {
		return nil
	}
	costs, err := m.svc.Vault.Accounts.Costs(ctx)
	if err != nil {
		return err
	}
	for c := range m.costs {
		costs = append(costs, c)
	}
	err = m.svc.Flows.Passwords.Measure(ctx, maximalCosts(costs))
	if errors.Is(err, password.ErrBusy) {
		return &Error{Unavailable, "too many people sign in right now; nothing has been written, try again"}
	}
	return err
}

// maximalCosts leaves out the costs that another one of the same kind exceeds in everything.
func maximalCosts(all password.Costs) (list password.Costs) {
	for i, c := range all {
		if !slices.ContainsFunc(all[i+1:], func(d password.Cost) bool { return exceeds(d, c) }) &&
			!slices.ContainsFunc(list, func(d password.Cost) bool { return exceeds(d, c) }) {
			list = append(list, c)
		}
	}
	return list
}

func exceeds(d, c password.Cost) bool {
	return d.Kind == c.Kind && d.N >= c.N && d.R >= c.R && d.P >= c.P
}

// errStopped ends writing where a line has become bad meanwhile.
var errStopped = errors.New("stopped")

// writeAll writes what is valid: up to maxAtomic accounts in one step, more in steps of batchSize.
func (m *importing) writeAll(ctx context.Context) error {
	size := batchSize
	if len(m.valid) <= maxAtomic {
		size = maxAtomic
	}
	if len(m.valid) > 0 {
		// One event for all of them, before the first: an import that is interrupted has written accounts, too.
		e := m.svc.event(ctx, eventChanged, "accounts", "imported")
		if err := m.svc.Vault.Store.Update(ctx, func(tx storage.Tx) error { return audit(tx, e) }); err != nil {
			return err
		}
		m.svc.report(ctx, e)
	}
	for part := range slices.Chunk(m.valid, size) {
		if err := m.write(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// write writes accounts: all of the list or none, unless bad ones are to be skipped.
func (m *importing) write(ctx context.Context, part []candidate) error {
	list := make([]accounts.ImportAccount, 0, len(part))
	for _, c := range part {
		list = append(list, c.in)
	}
	results, written, err := m.svc.Vault.Accounts.ImportAll(ctx, list, accounts.ImportOptions{GoOn: m.o.SkipBad})
	for i, one := range results {
		if one.Err == nil {
			if written || err != nil {
				m.report.Added++
			}
			continue
		}
		reason := "it cannot be stored"
		if errors.Is(one.Err, accounts.ErrTaken) {
			reason = "the mailbox has got an account meanwhile"
			if reserved := (*accounts.ReservedError)(nil); errors.As(one.Err, &reserved) {
				reason = "the account " + reserved.Account + " may take this address back, which it had until lately"
			}
		}
		m.report.Bad = append(m.report.Bad, BadLine{part[i].line, part[i].addr.Display(), reason})
	}
	if err == nil && !written {
		err = errStopped
	}
	return err
}
