package migrate

import (
	"reflect"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestMOVE1_EveryFieldCounts changes each field of each record in turn: two records that differ in one have different digests.
func TestMOVE1_EveryFieldCounts(t *testing.T) {
	for _, record := range []storage.Record{
		storage.Account{},
		storage.EpochRecord{},
		storage.Flow{},
		storage.Token{},
		storage.Session{},
		storage.MachineToken{},
		storage.CounterRecord{},
		storage.Mail{},
		storage.EventRecord{},
		storage.MetaRecord{},
	} {
		seen := map[string]string{string(appendValue(nil, reflect.ValueOf(record))): "the zero value"}
		v := reflect.New(reflect.TypeOf(record)).Elem()
		each(v, reflect.TypeOf(record).Name(), func(field string) {
			form := string(appendValue(nil, v))
			if other, same := seen[form]; same {
				t.Errorf("%s and %s have one form", field, other)
			}
			seen[form] = field
		})
	}
	a := storage.Account{Roles: []string{"ab", "c"}, Created: now}
	b := storage.Account{Roles: []string{"a", "bc"}, Created: now}
	if string(appendValue(nil, reflect.ValueOf(a))) == string(appendValue(nil, reflect.ValueOf(b))) {
		t.Error("two lists of texts have one form")
	}
	b = storage.Account{Roles: a.Roles, Private: []byte{}, Created: now.Truncate(time.Microsecond).In(time.FixedZone("", 3600))}
	if string(appendValue(nil, reflect.ValueOf(a))) != string(appendValue(nil, reflect.ValueOf(b))) {
		t.Error("a time that is kept to the microsecond, or an empty list, has another form")
	}
}

// each sets every field to another value, calls visit, and sets it back.
func each(v reflect.Value, name string, visit func(field string)) {
	if v.Kind() == reflect.Struct && v.Type() != timeType {
		for i := range v.NumField() {
			each(v.Field(i), name+"."+v.Type().Field(i).Name, visit)
		}
		return
	}
	before := reflect.New(v.Type()).Elem()
	before.Set(v)
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(3)
	case reflect.String:
		v.SetString("x")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Array:
		v.Index(0).SetUint(3)
	case reflect.Struct:
		v.Set(reflect.ValueOf(now))
	}
	visit(name)
	v.Set(before)
}
