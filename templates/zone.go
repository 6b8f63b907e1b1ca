package templates

import (
	"reflect"
	"time"
)

// A time that is in a zone of its own, and not in UTC or that of the machine, is written in it: such is what a person has chosen for the account.
// All others are written in the zone of the [Set].

// ownZone returns the zone that t is written in, and whether it is t's own.
func ownZone(t time.Time, loc *time.Location) (zone *time.Location, own bool) {
	if l := t.Location(); l != time.UTC && l != time.Local {
		return l, true
	}
	return loc, false
}

// inZone returns the facts of a page with all their times in a zone, those in lists and behind pointers included: no page can forget one.
func inZone(page PageFacts, zone *time.Location) PageFacts {
	v := reflect.New(reflect.TypeOf(page)).Elem()
	v.Set(reflect.ValueOf(page))
	setZone(v, zone)
	return v.Interface().(PageFacts) //nolint:forcetypeassert // it has the type of page
}

var timeType = reflect.TypeFor[time.Time]()

// setZone moves the times in v, which is settable, to a zone.
func setZone(v reflect.Value, zone *time.Location) {
	switch v.Kind() { //nolint:exhaustive // nothing else holds times
	case reflect.Struct:
		if v.Type() == timeType {
			v.Set(reflect.ValueOf(v.Interface().(time.Time).In(zone))) //nolint:forcetypeassert // it has the type of a time
			return
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				setZone(f, zone)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			setZone(v.Index(i), zone)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			setZone(v.Elem(), zone)
		}
	}
}
