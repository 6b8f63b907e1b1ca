package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"reflect"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// sum reads all records of a kind.
func sum(ctx context.Context, s storage.Store, kind storage.RecordKind, size int) (d Digest, err error) {
	d.Kind = kind
	h := sha256.New()
	var buf []byte
	for after := []byte(nil); ; {
		p, err := read(ctx, s, kind, after, size)
		if err != nil {
			return d, err
		}
		for _, record := range p.records {
			buf = appendValue(buf[:0], reflect.ValueOf(record))
			_, _ = h.Write(buf) // a hash takes everything
			d.Bytes += uint64(len(buf))
		}
		d.Records += len(p.records)
		if p.last {
			h.Sum(d.Sum[:0])
			return d, nil
		}
		after = p.end
	}
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	digestType = reflect.TypeFor[storage.Digest]()
)

// appendValue appends a value in one form that only equal ones have: its fields in their order, what has a length after that. Times are rounded
// down to the microsecond, which is all that every engine keeps, and an empty list is none.
func appendValue(b []byte, v reflect.Value) []byte {
	switch v.Type() {
	case timeType:
		t := v.Interface().(time.Time)
		return binary.BigEndian.AppendUint64(b, uint64(t.UnixMicro())) //nolint:gosec // any 64 bits
	case digestType:
		d := v.Interface().(storage.Digest)
		return append(b, d[:]...)
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int64:
		return binary.BigEndian.AppendUint64(b, uint64(v.Int())) //nolint:gosec // any 64 bits
	case reflect.Uint8, reflect.Uint64:
		return binary.BigEndian.AppendUint64(b, v.Uint())
	case reflect.String:
		return append(binary.AppendUvarint(b, uint64(v.Len())), v.String()...) //nolint:gosec // a length
	case reflect.Slice:
		b = binary.AppendUvarint(b, uint64(v.Len())) //nolint:gosec // a length
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return append(b, v.Bytes()...)
		}
		return appendElements(b, v)
	case reflect.Array:
		return appendElements(b, v)
	case reflect.Struct:
		for i := range v.NumField() {
			b = appendValue(b, v.Field(i))
		}
		return b
	}
	panic(fmt.Sprintf("migrate: a record has a field of type %s, which has no form here", v.Type()))
}

func appendElements(b []byte, v reflect.Value) []byte {
	for i := range v.Len() {
		b = appendValue(b, v.Index(i))
	}
	return b
}
