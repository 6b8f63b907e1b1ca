// Package timezone knows the time zones of the IANA database (RFC 6557) by their names.
//
// The machine's database is asked first, so that new rules come with its updates. A copy is compiled in, because the containers that Caddy
// runs in have none.
package timezone

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the copy
)

// maxName is the longest name of a zone, in bytes; those of the database have 32 at most.
const maxName = 64

// names are the zones that a person chooses from, one a line in the order of bytes: those of zone.tab of the database, release 2025b, which has
// each zone under one name and names a place in every country.
//
//go:embed names.txt
var names string

// loaded has the zones that have been asked for, by name.
var loaded sync.Map

// Load returns the zone of a name such as Europe/Berlin. ok is false for the empty name, for the machine's own zone (Local), and for everything
// that is not the name of a zone. It is safe for concurrent use; each zone is read once.
func Load(name string) (zone *time.Location, ok bool) {
	if !isName(name) {
		return nil, false
	}
	if zone, ok := loaded.Load(name); ok {
		return zone.(*time.Location), true //nolint:forcetypeassert // nothing else is stored
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, false
	}
	if zone == time.UTC {
		zone = time.FixedZone(name, 0) // time.UTC is also the zone of times that have none of their own
	}
	first, _ := loaded.LoadOrStore(name, zone)
	return first.(*time.Location), true //nolint:forcetypeassert // nothing else is stored
}

// isName reports whether a text has the form of a name. The database's directory holds files that are no zones, all of which begin with a small
// letter, a sign or a digit.
func isName(name string) bool {
	if name == "" || len(name) > maxName || name[0] < 'A' || name[0] > 'Z' || name == "Local" || strings.Contains(name, "//") {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '+', c == '-', c == '/':
		default:
			return false
		}
	}
	return true
}

// Region is a part of the world with its zones.
type Region struct {
	// Name is the first part of the zones' names, such as Europe.
	Name  string
	Zones []Zone
}

// Zone is one zone to choose.
type Zone struct {
	// Name is that of the database, such as America/Argentina/Buenos_Aires.
	Name string
	// City is the rest of it for people to read, the city first: "Buenos Aires, Argentina".
	City string
}

// Regions returns the zones that a person chooses from, in the order of regions and cities. The list must not be changed.
var Regions = sync.OnceValue(func() (list []Region) {
	for name := range strings.Lines(names) {
		name = strings.TrimSpace(name)
		region, city, _ := strings.Cut(name, "/")
		if len(list) == 0 || list[len(list)-1].Name != region {
			list = append(list, Region{Name: region})
		}
		parts := strings.Split(strings.ReplaceAll(city, "_", " "), "/")
		slices.Reverse(parts)
		last := &list[len(list)-1]
		last.Zones = append(last.Zones, Zone{name, strings.Join(parts, ", ")})
	}
	for _, r := range list {
		slices.SortFunc(r.Zones, func(a, b Zone) int { return strings.Compare(a.City, b.City) })
	}
	return list
})

// Listed reports whether [Regions] has a zone.
func Listed(name string) bool { return strings.Contains("\n"+names, "\n"+name+"\n") }
