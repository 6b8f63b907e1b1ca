// Package mailservers holds the tests of the SMTP mailer against servers that people run: Postfix and Exim, each
// unpacked from Debian's packages by scripts/mail-servers. The tests have the build tag mailservers; `make mail-servers` runs
// all of them, `make check` those of Exim.
package mailservers
