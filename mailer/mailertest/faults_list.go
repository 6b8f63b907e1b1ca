package mailertest

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"
)

// slow is what a slow server takes for each answer, and a tarpit for each byte. A client with a shorter timeout for a step
// than a tarpit takes for a line never sees the line's end.
const slow = 20 * time.Millisecond

var faultScenarios = map[string]FaultScenario{
	// The server accepts connections and says nothing.
	"Silent": {Stalls: true, play: script("")},
	// The banner comes when the client has given up.
	"SlowBanner": {Stalls: true, play: func(_ context.Context, _ *FaultyServer, c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		_, _ = io.WriteString(c, "220 mx.example.net at last\r\n")
	}},
	// Every answer takes its time, each within the client's patience.
	"SlowAnswers": {Arrives: true, play: func(ctx context.Context, s *FaultyServer, c net.Conn) {
		s.dialogue(c, hooks{answer: func(string) bool { return pause(ctx) }})
	}},
	"Refused":   {refuse: true},
	"Banner421": {play: script("421 mx.example.net too busy, closing\r\n")},
	"Banner554": {play: script("554 mx.example.net no service for you\r\n")},
	"Hello421":  {faults: map[Step]Fault{Hello: {Code: 421, Text: "too busy, closing"}}},
	"Mail451":   {faults: map[Step]Fault{From: {Code: 451, Text: "local error"}}},
	// The sender or the account is refused: the operator mends it while the mails wait.
	"Mail553":       {faults: map[Step]Fault{From: {Code: 553, Text: "sender address rejected: not owned by user"}}},
	"Rcpt554Relay":  {faults: map[Step]Fault{To: {Code: 554, Text: "relay access denied"}}},
	"Data550Sender": {faults: map[Step]Fault{Data: {Code: 550, Text: "daily sending limit exceeded"}}},
	"Rcpt450":       {faults: map[Step]Fault{To: {Code: 450, Text: "greylisted, come back later"}}},
	"Rcpt550":       {Final: true, faults: map[Step]Fault{To: {Code: 550, Text: "no such user"}}},
	"Data451":       {faults: map[Step]Fault{Data: {Code: 451, Text: "disk full"}}},
	"Data552":       {Final: true, faults: map[Step]Fault{Data: {Code: 552, Text: "mailbox full"}}},
	"Data554":       {Final: true, faults: map[Step]Fault{Data: {Code: 554, Text: "looks like spam"}}},
	// The connection is lost when the message is to begin: nothing has been handed over.
	"DropAtDATA": {play: func(_ context.Context, s *FaultyServer, c net.Conn) {
		s.dialogue(c, hooks{command: func(line, _ string) bool { return line != "DATA" }})
	}},
	// The connection is lost with the message's last line, which never reaches the server. The client cannot know that, so it
	// happens to each mail once.
	"DropAfterDATA": {Arrives: true, play: func(_ context.Context, s *FaultyServer, c net.Conn) {
		s.dialogue(c, hooks{dot: func(to string) bool { return !s.first(to) }})
	}},
	// The server keeps the message, and the connection is lost before the client hears of it: each time.
	"DropAfter250": {Arrives: true, Twice: true, play: func(_ context.Context, s *FaultyServer, c net.Conn) {
		s.dialogue(c, hooks{stored: func(string) bool { return false }})
	}},
	// The same, once for each mail.
	"DropAfter250Once": {Arrives: true, Twice: true, play: func(_ context.Context, s *FaultyServer, c net.Conn) {
		s.dialogue(c, hooks{stored: func(to string) bool { return !s.first(to) }})
	}},
	// The server answers once the client has left, having kept the message.
	"DropAfterAnswer": {Arrives: true, faults: map[Step]Fault{Done: {Drop: true}}},
	"NoSTARTTLS":      {TLS: "starttls", SignIn: true, instead: &Options{PlainAuth: true, User: FaultyUser, Password: FaultyPassword}},
	"WrongName":       {TLS: "starttls", SignIn: true, trusted: true, instead: &Options{TLS: "starttls", Names: []string{"mx.example.net"}}},
	"Expired":         {TLS: "implicit", trusted: true, instead: &Options{TLS: "implicit", Expired: true}},
	"UnknownAuthority": {
		TLS: "starttls", SignIn: true, instead: &Options{TLS: "starttls", User: FaultyUser, Password: FaultyPassword},
	},
	"SelfSigned": {TLS: "implicit", play: func(ctx context.Context, _ *FaultyServer, c net.Conn) {
		_ = tls.Server(c, selfSigned()).HandshakeContext(ctx)
	}},
	"PlainOnTLSPort": {TLS: "implicit", instead: &Options{}},
	"TLSStall":       {TLS: "implicit", Stalls: true, play: script("")},
	"STARTTLSStall": {TLS: "starttls", Stalls: true, play: script("220 mx.example.net ESMTP\r\n",
		"EHLO", "250-mx.example.net\r\n250 STARTTLS\r\n", "STARTTLS", "220 go ahead\r\n")},
	// What an attacker on the way adds in the clear must not be taken for the server's words (CVE-2021-38371 and its kin).
	"STARTTLSInjection": {TLS: "starttls", Stalls: true, play: script("220 mx.example.net ESMTP\r\n",
		"EHLO", "250-mx.example.net\r\n250 STARTTLS\r\n",
		"STARTTLS", "220 go ahead\r\n"+strings.Repeat("250 fine\r\n", 20)+"354 go ahead\r\n250 fine\r\n")},
	"AuthRefused": {TLS: "starttls", SignIn: true, faults: map[Step]Fault{Auth: {Code: 535, Text: "bad credentials"}}},
	"Auth454":     {TLS: "starttls", SignIn: true, faults: map[Step]Fault{Auth: {Code: 454, Text: "temporary failure"}}},
	// One line without an end.
	"HugeBanner": {play: endless("220 ", strings.Repeat("x", 4096))},
	// One answer of lines without an end.
	"Flood":  {play: endless("", strings.Repeat("220-mx.example.net welcomes you\r\n", 100))},
	"Tarpit": {Stalls: true, play: tarpit},
	// What is no SMTP at all.
	"Malformed": {play: script("SSH-2.0-OpenSSH_9.2\r\n")},
	"Binary":    {play: script("\x00\xff\x16\x03\x01\r\n\r\n\r\n")},
	// The message is kept, and the positive reply has an unknown code.
	"Data259": {Arrives: true, play: func(_ context.Context, s *FaultyServer, c net.Conn) {
		s.dialogue(c, hooks{stored: func(string) bool { _, _ = io.WriteString(c, "259 kept\r\n"); return false }})
	}},
	// The answers are SMTP and make no sense.
	"Lying": {play: script("220 mx.example.net ESMTP\r\n",
		"EHLO", "250 mx.example.net\r\n", "MAIL", "250 fine\r\n", "RCPT", "250 fine\r\n", "DATA", "250 fine already\r\n")},
	"UnknownCode": {play: script("220 mx.example.net ESMTP\r\n",
		"EHLO", "250 mx.example.net\r\n", "MAIL", "299 something else\r\n")},
}

// script says the banner and then answers each expected command; after that, and to anything else, it says nothing.
func script(banner string, pairs ...string) func(context.Context, *FaultyServer, net.Conn) {
	return func(_ context.Context, _ *FaultyServer, c net.Conn) {
		if _, err := io.WriteString(c, banner); err != nil {
			return
		}
		r := bufio.NewReader(c)
		for i := 0; i < len(pairs); i += 2 {
			line, err := r.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, pairs[i]) {
				break
			}
			if _, err := io.WriteString(c, pairs[i+1]); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, r)
	}
}

func endless(begin, more string) func(context.Context, *FaultyServer, net.Conn) {
	return func(_ context.Context, _ *FaultyServer, c net.Conn) {
		_, err := io.WriteString(c, begin)
		for err == nil {
			_, err = io.WriteString(c, more)
		}
	}
}

// tarpit greets byte by byte, for as long as anybody listens.
func tarpit(ctx context.Context, _ *FaultyServer, c net.Conn) {
	text := "220-mx.example.net ESMTP has all the time of the world\r\n"
	for i := 0; ; i = (i + 1) % len(text) {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil || !pause(ctx) {
			return
		}
	}
}

// pause waits briefly and reports whether the trouble goes on.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(slow)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hooks are called at their moment of a plain dialogue; false drops the connection instead.
type hooks struct {
	command func(line, to string) bool // a command, before the server sees it
	dot     func(to string) bool       // the end of the message, before the server sees it
	stored  func(to string) bool       // the answer to the message, before the client sees it
	answer  func(line string) bool     // every line of the server, before the client sees it
}

// dialogue relays a connection to the server line by line.
func (s *FaultyServer) dialogue(c net.Conn, h hooks) {
	up, err := s.Behind.dial()
	if err != nil {
		return
	}
	d := &dialogue{hooks: h, client: c, server: up}
	var back sync.WaitGroup
	back.Go(func() { d.pass(d.server, d.client, d.answered) })
	d.pass(d.client, d.server, d.requested)
	back.Wait()
}

type dialogue struct {
	hooks
	client, server net.Conn

	mu     sync.Mutex
	to     string
	inData bool
	ended  bool // the message is with the server
}

// pass hands lines on from one side to the other until one of both has gone or look says no.
func (d *dialogue) pass(from, to net.Conn, look func(line string) bool) {
	defer func() {
		_ = d.client.Close()
		_ = d.server.Close()
	}()
	r := bufio.NewReader(from)
	for {
		line, err := r.ReadString('\n')
		if err != nil || !look(strings.TrimRight(line, "\r\n")) {
			return
		}
		if _, err := io.WriteString(to, line); err != nil {
			return
		}
	}
}

func (d *dialogue) requested(line string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inData {
		if line != "." {
			return true
		}
		d.inData, d.ended = false, true
		return d.dot == nil || d.dot(d.to)
	}
	if to, ok := strings.CutPrefix(line, "RCPT TO:"); ok {
		d.to = to
	}
	return d.command == nil || d.command(line, d.to)
}

func (d *dialogue) answered(line string) bool {
	d.mu.Lock()
	ended, to := d.ended, d.to
	d.ended = false
	d.inData = d.inData || strings.HasPrefix(line, "354")
	d.mu.Unlock()
	if ended && d.stored != nil && !d.stored(to) {
		return false
	}
	return d.hooks.answer == nil || d.hooks.answer(line)
}

// selfSigned is a certificate for the right name, signed by itself.
var selfSigned = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(fmt.Errorf("mailertest: %w", err)) // the system has no chance to give
	}
	begin := time.Now().Add(-time.Hour)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(3), NotBefore: begin, NotAfter: begin.Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, &key.PublicKey, key)
	if err != nil {
		panic(fmt.Errorf("mailertest: %w", err))
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}} //nolint:gosec // a test's server
})
