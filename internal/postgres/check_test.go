package postgres

import (
	"strings"
	"testing"
)

func TestSTO2_OldServersAreRefused(t *testing.T) {
	good := settings{version: 140000, encoding: "UTF8", readOnly: "off", isolation: "read committed"}
	if err := good.check("gate", "gate"); err != nil {
		t.Error(err)
	}
	for version, want := range map[int]string{139999: "PostgreSQL 13", 130021: "PostgreSQL 13", 90624: "PostgreSQL 9"} {
		old := good
		old.version = version
		if err := old.check("gate", "gate"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "14 or later") {
			t.Errorf("%d: %v", version, err)
		}
	}
	odd := good
	odd.isolation = "serializable"
	if err := odd.check(`o"dd`, "My db"); err == nil || !strings.HasSuffix(err.Error(), `alter role "o""dd" in database "My db" set default_transaction_isolation = 'read committed';`) {
		t.Error(err)
	}
}
