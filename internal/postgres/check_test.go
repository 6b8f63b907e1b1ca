package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestSTO2_EachSettingIsChecked(t *testing.T) {
	good := settings{version: oldestServer, encoding: "UTF8", readOnly: "off", isolation: "read committed", commit: "on", fsync: "on"}
	if err := good.check("gate", "gate"); err != nil || good.losses() != nil {
		t.Errorf("%v, %q", err, good.losses())
	}
	for want, change := range map[string]func(*settings){
		"the server is PostgreSQL 13: it has to be 14 or later; upgrade it, or name another server":    func(s *settings) { s.version = 130021 },
		"the server is PostgreSQL 9: it has to be 14 or later":                                         func(s *settings) { s.version = 90624 },
		"is a standby and only reads: name the primary":                                                func(s *settings) { s.standby = true },
		`the database "My db" has the encoding SQL_ASCII: make one in UTF8`:                            func(s *settings) { s.encoding = "SQL_ASCII" },
		`alter role "o""dd" in database "My db" set default_transaction_read_only = off;`:              func(s *settings) { s.readOnly = "on" },
		`alter role "o""dd" in database "My db" set default_transaction_isolation = 'read committed';`: func(s *settings) { s.isolation = "serializable" },
		"remove it from the connection string and from PGOPTIONS": func(s *settings) {
			s.isolation, s.isolationFrom = "repeatable read", "client"
		},
	} {
		bad := good
		change(&bad)
		if err := bad.check(`o"dd`, "My db"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for want, change := range map[string]func(*settings){
		"a used link works again and an ended session lives": func(s *settings) { s.commit = "off" },
		"damage the whole database, and lose every account":  func(s *settings) { s.fsync = "off" },
	} {
		lossy := good
		change(&lossy)
		if list := lossy.losses(); len(list) != 1 || !strings.Contains(list[0], want) {
			t.Errorf("%q, want %q", list, want)
		}
	}
}

func TestSTO2_UnverifiedServersAreNamed(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://gate@db.example.com/gate?sslmode=verify-full":              "",
		"postgres://gate@db.example.com/gate?sslmode=require":                  "db.example.com",
		"postgres://gate@one.example.com,two.example.com/gate?sslmode=require": "one.example.com",
		"postgres://gate@127.0.0.1/gate?sslmode=require":                       "",
		"host=/run/postgresql": "",
	} {
		config, err := pgx.ParseConfig(dsn)
		if err != nil {
			t.Fatal(err)
		}
		if host := unverified(config); host != want {
			t.Errorf("%s: %q, want %q", dsn, host, want)
		}
	}
}
