package timezone

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRegions_EachZoneIsOne loads every zone that a person can choose.
func TestRegions_EachZoneIsOne(t *testing.T) {
	var all []string
	for _, r := range Regions() {
		for _, z := range r.Zones {
			if !strings.HasPrefix(z.Name, r.Name+"/") || z.City == "" || strings.ContainsAny(z.City, "_/") {
				t.Errorf("%+v in %s", z, r.Name)
			}
			if zone, ok := Load(z.Name); !ok || zone.String() != z.Name || !Listed(z.Name) {
				t.Errorf("%s: %v, %v", z.Name, zone, ok)
			}
			all = append(all, z.Name)
		}
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n < 400 || n != strings.Count(names, "\n") {
		t.Errorf("%d zones of %d lines", n, strings.Count(names, "\n"))
	}
	for _, want := range []string{"Europe/Berlin", "Europe/Oslo", "America/Argentina/Buenos_Aires", "Asia/Kathmandu", "Pacific/Chatham"} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

// TestLoad_WhatIsNoZone: nothing but a name of the database is one, also where the machine has other files beside it.
func TestLoad_WhatIsNoZone(t *testing.T) {
	for _, name := range []string{
		"", "Local", "local", "localtime", "posixrules", "zone.tab", "tzdata.zi", "leapseconds", "+VERSION", "posix/Europe/Berlin", "right/UTC", "Europe", "Europe/",
		"europe/berlin", "Europe/Berlin ", " Europe/Berlin", "Europe/Berlin\n", "Europe/Berlin\x00", "../etc/passwd", "Europe/../UTC", "/etc/passwd",
		"Europe\\Berlin", "Europe//Berlin", "Mars/Olympus", "GMT+25", "UTC+1", "Ünited/Zone", "\xff", strings.Repeat("A", 10<<10), "<script>",
	} {
		if zone, ok := Load(name); ok {
			t.Errorf("%q is %v", name, zone)
		}
	}
	for _, name := range []string{"UTC", "Etc/UTC", "Europe/Kyiv", "Europe/Kiev", "Asia/Calcutta", "US/Pacific", "Etc/GMT+5", "America/Port-au-Prince"} {
		zone, ok := Load(name)
		again, _ := Load(name)
		if !ok || zone.String() != name || zone == time.UTC || zone != again {
			t.Errorf("%q: %v, %v", name, zone, ok)
		}
	}
}
