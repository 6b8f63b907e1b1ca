package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// errClearPassword refuses a password that Caddy would save and show with its configuration.
var errClearPassword = errors.New("the password would stand in the configuration, which Caddy saves and shows: write {env.X} or " +
	"{file./path} in its place, or leave it out and set PGPASSWORD, or PGPASSFILE, where Caddy runs")

var (
	// placeholders find what Caddy replaces.
	placeholders = regexp.MustCompile(`\{[^{}]+\}`)
	// passwordWords find the passwords of a connection string in words, with or without quotes. A word may follow a closing quote at once.
	passwordWords = regexp.MustCompile(`(?:^|[\s'])(?:ssl)?password\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S*))`)
)

// mark stands for a placeholder while the structure of a connection string is read, so that no value is taken for a part of the structure.
const mark = "\x01"

// encoder writes a value as its place in a connection string demands.
type encoder func(value string) string

func asIs(value string) string { return value }

// inURL encodes a value for the user, the password or the query of a URL.
func inURL(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") }

// inWord encodes a value for `keyword=value`, with quotes or without.
var inWord = strings.NewReplacer(`\`, `\\`, `'`, `\'`, " ", `\ `, "\t", "\\\t").Replace

// expandDSN replaces the placeholders of a connection string, and refuses a password in clear. A value that is a part of the string is
// encoded, so that a password may have any character; one that is the whole string is not. Its errors hold no value.
func expandDSN(dsn string) (string, error) {
	marked := placeholders.ReplaceAllLiteralString(dsn, mark)
	names := placeholders.FindAllString(dsn, -1)
	if strings.Count(marked, mark) != len(names) {
		return "", errors.New("the connection string has a control character")
	}
	var encoders []encoder
	var err error
	switch {
	case strings.TrimSpace(marked) == mark:
		encoders = []encoder{asIs}
	case strings.HasPrefix(marked, "postgres://"), strings.HasPrefix(marked, "postgresql://"):
		encoders, err = readURL(marked)
	default:
		encoders, err = readWords(marked)
	}
	if err != nil {
		return "", err
	}
	parts := strings.Split(marked, mark)
	text := parts[0]
	for i, name := range names {
		value := caddy.NewReplacer().ReplaceAll(name, "")
		if value == "" {
			return "", fmt.Errorf("%s is empty, or not readable, where Caddy runs: put there what the connection string needs", name)
		}
		text += encoders[i](value) + parts[i+1]
	}
	return text, nil
}

// readURL returns the encoders of the placeholders in a URL.
func readURL(dsn string) (encoders []encoder, err error) {
	start := strings.Index(dsn, "://") + len("://")
	end := len(dsn)
	if i := strings.IndexAny(dsn[start:], "/?#"); i >= 0 {
		end = start + i
	}
	userinfo := start + max(0, strings.LastIndexByte(dsn[start:end], '@'))
	_, password, _ := strings.Cut(dsn[start:userinfo], ":")
	if password != "" && password != mark {
		return nil, errClearPassword
	}
	query := len(dsn)
	if i := strings.IndexByte(dsn, '?'); i >= 0 {
		query = i
	}
	for pair := range strings.SplitSeq(dsn[min(query+1, len(dsn)):], "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(key); err == nil && (key == "password" || key == "sslpassword") && value != "" && value != mark {
			return nil, errClearPassword
		}
	}
	for i := range len(dsn) {
		switch {
		case dsn[i] != mark[0]:
		case i >= start && i < userinfo || i > query:
			encoders = append(encoders, inURL)
		default:
			encoders = append(encoders, asIs)
		}
	}
	return encoders, nil
}

// readWords returns the encoders of the placeholders in a connection string of words.
func readWords(dsn string) (encoders []encoder, err error) {
	for _, m := range passwordWords.FindAllStringSubmatch(dsn, -1) {
		if password := m[1] + m[2]; password != "" && password != mark {
			return nil, errClearPassword
		}
	}
	for i := range len(dsn) {
		switch {
		case dsn[i] != mark[0]:
		case i == 0 || strings.ContainsRune(" \t\n", rune(dsn[i-1])): // whole words
			encoders = append(encoders, asIs)
		default:
			encoders = append(encoders, inWord)
		}
	}
	return encoders, nil
}
