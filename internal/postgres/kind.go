package postgres

import (
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// kind maps one kind of record onto its table: the record R is found under the key K.
type kind[K comparable, R any] struct {
	// table is the name, qualified.
	table string
	// key and fields are the columns, in the order of keyArgs, args and scan. The version is a further one.
	key, fields []string
	keyArgs     func(K) []any
	args        func(*R) []any
	// scan reads the columns of one row: key, fields and version.
	scan    func(row pgx.Rows) (K, R, int64, error)
	compare func(a, b K) int
	// lock returns the name that stands for a row, absent or not, while a step depends on it: those that only look share it, so that rows
	// that many steps depend on keep none of them waiting. nil where a row is locked itself, and no step depends on its absence.
	lock func(K) string
	// list returns the parameter of several keys, of a type; only where there is a lock.
	list     func([]K) any
	listType string
	// proof is a condition, with parameters from $1 on that proofArgs returns, under which a row is the record that the step was handed and
	// has not read; empty where no step is handed one. nproof is the number of its parameters.
	proof     string
	nproof    int
	proofArgs func(*R) []any

	columns                 string
	get, update, del, same  string
	updateProven, delProven string
	// inserts are the statements that insert several rows, see [inserts].
	inserts []string
}

// prepare builds the texts of the statements.
func (k *kind[K, R]) prepare(schema string) {
	key := k.where(1)
	k.columns = strings.Join(slices.Concat(k.key, k.fields, []string{"ver"}), ", ")
	k.get = "select " + k.columns + " from " + k.table + " where " + key
	k.inserts = inserts(k.table, k.columns, len(k.key)+len(k.fields)+1)
	// Of an update the first parameter is the version that the step has read, the second the new one.
	set := "ver = $2"
	for i, f := range k.fields {
		set += ", " + f + " = $" + strconv.Itoa(3+len(k.key)+i)
	}
	must := "select " + schema + ".must((select count(*) from changed) = 1)"
	guarded := " where ver = $1 and " + k.where(3)
	k.update = "with changed as (update " + k.table + " set " + set + guarded + " returning 1) " + must
	guarded = " where ver = $1 and " + k.where(2)
	k.del = "with changed as (delete from " + k.table + guarded + " returning 1) " + must
	k.same = "with changed as (select 1 from " + k.table + guarded + " for no key update) " + must
	if k.proof != "" {
		set = "ver = ver + 1"
		for i, f := range k.fields {
			set += ", " + f + " = $" + strconv.Itoa(1+k.nproof+len(k.key)+i)
		}
		proven := " where " + k.proof + " and " + k.where(1+k.nproof)
		k.updateProven = "with changed as (update " + k.table + " set " + set + proven + " returning 1) " + must
		k.delProven = "with changed as (delete from " + k.table + proven + " returning 1) " + must
	}
	if k.lock != nil { // a version of 0 is that of no row
		k.same = "select " + schema + ".must(not exists (select 1 from unnest($1::" + k.listType + "[], $2::bigint[]) as u (k, v) left join " +
			k.table + " t on t." + k.key[0] + " = u.k where coalesce(t.ver, 0) <> u.v))"
	}
}

// doublings is how many statements insert rows of one kind.
const doublings = 5

// inserts returns the statements that insert 1, 2, 4, 8 and 16 rows.
func inserts(table, columns string, n int) (list []string) {
	for i := range doublings {
		rows := make([]string, 1<<i)
		for j := range rows {
			rows[j] = "(" + holders(1+j*n, n) + ")"
		}
		list = append(list, "insert into "+table+" ("+columns+") values "+strings.Join(rows, ", "))
	}
	return list
}

// queueInserts queues rows in as few statements as there are, each one prepared once for a connection.
func queueInserts(b *pgx.Batch, statements []string, rows [][]any) {
	for i := doublings - 1; i >= 0; i-- {
		for n := 1 << i; len(rows) >= n; rows = rows[n:] {
			b.Queue(statements[i], slices.Concat(rows[:n]...)...)
		}
	}
}

// where returns the condition on the key, whose parameters begin with the given number.
func (k *kind[K, R]) where(from int) string {
	parts := make([]string, len(k.key))
	for i, column := range k.key {
		parts[i] = column + " = $" + strconv.Itoa(from+i)
	}
	return strings.Join(parts, " and ")
}

// holders returns n placeholders from the given number on.
func holders(from, n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = "$" + strconv.Itoa(from+i)
	}
	return strings.Join(parts, ", ")
}

// row is a record as a step sees it.
type row[R any] struct {
	rec R
	// found reports whether the step sees a record.
	found bool
	// stored is the version in the database when it was read, 0 where there was none; next is the one that the step gives it.
	stored, next int64
	// handed is the record that the step was handed, nil for one that was read; it has no version then.
	handed *R
	// guard is set when a write of the step depends on the row, write when the step has changed it.
	guard, write bool
}

// rows are the records of one kind that a step has read or written.
type rows[K comparable, R any] struct {
	*tx
	kind *kind[K, R]
	m    map[K]*row[R]
}

// loaded notes a row as it was read, unless the step has it already, and returns what the step sees.
func (r *rows[K, R]) loaded(k K, rec R, ver int64) *row[R] {
	if known := r.m[k]; known != nil {
		return known
	}
	if r.m == nil {
		r.m = map[K]*row[R]{}
	}
	one := &row[R]{rec: rec, found: ver > 0, stored: ver, next: ver}
	r.m[k] = one
	return one
}

// hand notes a row that the step was handed, unless it has it already or an earlier run has met something else.
func (r *rows[K, R]) hand(k K, rec R) {
	if !r.again && r.m[k] == nil {
		r.loaded(k, rec, 1).handed = &rec
	}
}

// missing notes that there was no row under a key.
func (r *rows[K, R]) missing(k K) *row[R] {
	var none R
	return r.loaded(k, none, 0)
}

// read returns what the step sees under a key.
func (r *rows[K, R]) read(k K, guard bool) (*row[R], error) {
	if err := r.usable(); err != nil {
		return nil, err
	}
	one := r.m[k]
	if one == nil {
		if err := r.query(r.kind.get, r.kind.keyArgs(k), r.collect); err != nil {
			return nil, err
		}
		one = r.missing(k)
	}
	one.guard = one.guard || guard && r.writable
	return one, nil
}

// collect notes one row of an answer.
func (r *rows[K, R]) collect(answer pgx.Rows) error {
	k, rec, ver, err := r.kind.scan(answer)
	if err == nil {
		r.loaded(k, rec, ver)
	}
	return err
}

// list reads records by a statement over the table's columns, and returns those that pick does.
func (r *rows[K, R]) list(sql string, args []any, want func(*R) bool, compare func(a, b *R) int, limit int) ([]*R, error) {
	if err := r.usable(); err != nil {
		return nil, err
	}
	var keys []K
	err := r.query(sql, args, func(answer pgx.Rows) error {
		k, rec, ver, err := r.kind.scan(answer)
		if err == nil {
			r.loaded(k, rec, ver)
			keys = append(keys, k)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.pick(keys, want, compare, limit), nil
}

// pick returns those records that the step sees and want accepts, in order: of the keys that a list has read, and of what the step itself
// has changed or created.
func (r *rows[K, R]) pick(keys []K, want func(*R) bool, compare func(a, b *R) int, limit int) []*R {
	keys = slices.Clone(keys)
	for k, one := range r.m {
		if one.write && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	var list []*R
	for _, k := range keys {
		if one := r.m[k]; one.found && want(&one.rec) {
			list = append(list, &one.rec)
		}
	}
	slices.SortFunc(list, compare)
	return list[:min(limit, len(list))]
}

// written counts the rows that the step has changed: a list asks for as many more, because some of its own may not be in it any more.
func (r *rows[K, R]) written() (n int) {
	for _, one := range r.m {
		if one.write {
			n++
		}
	}
	return n
}

// put changes a row that was read, or creates it.
func (r *rows[K, R]) put(one *row[R], rec R) {
	one.rec, one.found, one.write = rec, true, true
	one.next++
	r.dirty = true
}

// remove deletes a row that was read.
func (r *rows[K, R]) remove(one *row[R]) {
	var none R
	one.rec, one.found, one.write = none, false, true
	r.dirty = true
}

// create stores a new record without a look, unless the step has to be careful.
func (r *rows[K, R]) create(k K, rec R, exists error) error {
	if err := r.changeable(); err != nil {
		return err
	}
	one := r.m[k]
	if one == nil && r.careful {
		var err error
		if one, err = r.read(k, false); err != nil {
			return err
		}
	}
	switch {
	case one == nil:
		one = r.missing(k)
	case one.found:
		return exists
	}
	r.put(one, rec)
	return nil
}

// locks adds the names of rows that the step depends on, and whether it changes them.
func (r *rows[K, R]) locks(names map[string]bool) {
	if r.kind.lock == nil {
		return
	}
	for k, one := range r.m {
		if one.write || one.guard {
			names[r.kind.lock(k)] = one.write
		}
	}
}

// flush queues what the rows need at the end of the step, in the order of their keys: what it deletes, which may free what it creates, then
// what it changes or depends on, then what it creates.
func (r *rows[K, R]) flush(b *pgx.Batch) {
	var keys []K
	for k, one := range r.m {
		if one.write || one.guard {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b K) int {
		if r.m[a].found != r.m[b].found {
			if r.m[b].found {
				return -1
			}
			return 1
		}
		return r.kind.compare(a, b)
	})
	var created [][]any
	var same []K
	var versions []int64
	for _, k := range keys {
		one, key := r.m[k], r.kind.keyArgs(k)
		switch {
		case one.handed != nil && one.found:
			b.Queue(r.kind.updateProven, slices.Concat(r.kind.proofArgs(one.handed), key, r.kind.args(&one.rec))...)
		case one.handed != nil:
			b.Queue(r.kind.delProven, slices.Concat(r.kind.proofArgs(one.handed), key)...)
		case one.stored == 0 && one.found:
			created = append(created, slices.Concat(key, r.kind.args(&one.rec), []any{one.next}))
		case r.kind.lock != nil && (!one.write || one.stored == 0):
			same, versions = append(same, k), append(versions, one.stored)
		case one.stored == 0:
		case !one.write:
			b.Queue(r.kind.same, slices.Concat([]any{one.stored}, key)...)
		case one.found:
			b.Queue(r.kind.update, slices.Concat([]any{one.stored, one.next}, key, r.kind.args(&one.rec))...)
		default:
			b.Queue(r.kind.del, slices.Concat([]any{one.stored}, key)...)
		}
	}
	if len(same) > 0 {
		b.Queue(r.kind.same, r.kind.list(same), versions)
	}
	queueInserts(b, r.kind.inserts, created)
}
