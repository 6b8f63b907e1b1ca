package password

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
)

const (
	pw    = "correct horse"
	uni   = "pässwörd ☃"
	spec  = "password"
	salt  = "yMnKy8zNzs/Q0dLT1NXW1w"
	b05   = "05$abcdefghijklmnopqrstuu"
	sum24 = "RdescudvJCsgt3ub+b+dWRWJTmaaJObG"
)

var long = strings.Repeat("x", 72) + "tail"

// knownAnswers were made by other programs: libxcrypt (bcrypt), Python's hashlib (scrypt, PBKDF2) and the reference
// implementation of argon2 (its README and test.c); two are the examples of passlib's manual.
var knownAnswers = []struct{ name, password, record, cost string }{
	{"argon2i README", spec, "$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$" + sum24, "argon2i:65536:2:4"},
	{"argon2i test.c", spec, "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA", "argon2i:65536:2:1"},
	{"argon2id test.c", spec, "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "argon2id:65536:2:1"},
	{"argon2id Django", spec, "argon2$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "argon2id:65536:2:1"},
	{"bcrypt 2b", pw, "$2b$" + b05 + "HNbAKRhpaujgo33bRWs.NLUTJO3lOy2", "bcrypt:5:0:0"},
	{"bcrypt 2a", pw, "$2a$" + b05 + "HNbAKRhpaujgo33bRWs.NLUTJO3lOy2", "bcrypt:5:0:0"},
	{"bcrypt 2y not ASCII", uni, "$2y$" + b05 + "HAV94Mj58aB25TMAjGh195IxPdIcE2O", "bcrypt:5:0:0"},
	{"bcrypt long", long, "$2b$" + b05 + "jf8SX2ahXLwp9w/B.Y5XdysS6yR576q", "bcrypt:5:0:0"},
	{"bcrypt Django", pw, "bcrypt$$2b$" + b05 + "HNbAKRhpaujgo33bRWs.NLUTJO3lOy2", "bcrypt:5:0:0"},
	{"bcrypt-sha256 Django", long, "bcrypt_sha256$$2b$" + b05 + "RE/BGU0olI36R/2U45foO/Y8KOwRyDi", "bcrypt-sha256:5:0:0"},
	{"scrypt PHC", pw, "$scrypt$ln=10,r=8,p=2$" + salt + "$+bbqOpLgHd7jJZ5SBi9sZfVZxzQHjXVStLNxYoQO+yk", "scrypt:1024:8:2"},
	{"scrypt passlib", spec, "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E", "scrypt:65536:8:1"},
	{"scrypt Django", pw, "scrypt$16384$saltSALTsalt$8$5$HbKU5sirvCJ+B5fjzC0yHd/m4vpQGAhyl+OHEP8h8qCP8N27tXe0PecI5Khg6i+fW3QKqh3FOg6/ty3RcpksvQ==", "scrypt:16384:8:5"},
	{"scrypt Werkzeug", pw, "scrypt:32768:8:1$saltSALTsalt1234$1d557e8647ff682b9e190b7efe57f8bba8d2d7881da143bed98215896d4754096340720d369f69d0dadba089365252e39a7ef54dbaf82d10557c9ec2faade234", "scrypt:32768:8:1"},
	{"PBKDF2-SHA1 passlib", pw, "$pbkdf2$29000$yMnKy8zNzs/Q0dLT1NXW1w$XfhFTrAozE5h5c4s/dm8kUt4xhk", "pbkdf2-sha1:29000:0:0"},
	{"PBKDF2-SHA1 PHC", pw, "$pbkdf2-sha1$i=10000,l=20$" + salt + "$T2RBFybitTlZNph1wLSzfin9EtM", "pbkdf2-sha1:10000:0:0"},
	{"PBKDF2-SHA1 Django", pw, "pbkdf2_sha1$20000$seasaltseasalt$q55c157vVn7kav3YyiqZedKdoBk=", "pbkdf2-sha1:20000:0:0"},
	{"PBKDF2-SHA1 Werkzeug", uni, "pbkdf2:sha1:50000$saltSALT$d76afa4b72e92cd38a68ed4b58eac66f498997f6", "pbkdf2-sha1:50000:0:0"},
	{"PBKDF2-SHA256 passlib", pw, "$pbkdf2-sha256$29000$" + salt + "$2sQRidcQyrZgIBkFv9HNrbH9hzwoYs5aUf04n8wepu0", "pbkdf2-sha256:29000:0:0"},
	{"PBKDF2-SHA256 passlib's manual", spec, "$pbkdf2-sha256$6400$0ZrzXitFSGltTQnBWOsdAw$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M", "pbkdf2-sha256:6400:0:0"},
	{"PBKDF2-SHA256 passlib, two blocks", pw, "$pbkdf2-sha256$5000$" + salt + "$0C6kQMyiFpYpE38YHWwzLoQCug5lWQJSuUVObVqgp7OPGIqH2Nu7Ij/ECOjWYJJ90q2hDEij5w0R6F.5eyuQ9Q", "pbkdf2-sha256:5000:0:0"},
	{"PBKDF2-SHA256 PHC", pw, "$pbkdf2-sha256$i=10000,l=32$" + salt + "$M3Rhq26YOGL4HZvVtQNqUxBpXa/M0dF1HKvyEQUi6Pg", "pbkdf2-sha256:10000:0:0"},
	{"PBKDF2-SHA256 Django", pw, "pbkdf2_sha256$20000$seasaltseasalt$AdAvoLf6ISDfOk7ZywrMPBGvsBWLmJNF+vkY0sxM/iQ=", "pbkdf2-sha256:20000:0:0"},
	{"PBKDF2-SHA256 Werkzeug", uni, "pbkdf2:sha256:50000$saltSALT$f6c7205af5c668dd12a7319246023d6fb83c9721ace6f9968b7b627516e85037", "pbkdf2-sha256:50000:0:0"},
	{"PBKDF2-SHA512 passlib", pw, "$pbkdf2-sha512$29000$" + salt + "$kuuhuNIhTOwARPsHqGGKu/5JVO8URDbV29Mt0n1J9D2q8OdDvVSTOGtojuDtLtBujGxDinmw1qU1iJwYydFHIg", "pbkdf2-sha512:29000:0:0"},
	{"PBKDF2-SHA512 PHC", pw, "$pbkdf2-sha512$i=10000,l=64$" + salt + "$Z58SQrLO58Uk97Jk2YBoWmkEyrqBC6fw/3tpVGqMvvjwUpkXLer+gfoG9B91jYUjWk2yjWEo5WksyaBpbIzVTw", "pbkdf2-sha512:10000:0:0"},
	{"PBKDF2-SHA512 Django's form", pw, "pbkdf2_sha512$20000$seasaltseasalt$PLT9fH7vJTHYWRsbz5r34sWreEE/RGi38aOzs4dXq1IwRYUz3+SEPZjHtOMTFbriak68aGYFMqzm4pHxoqwgMQ==", "pbkdf2-sha512:20000:0:0"},
	{"PBKDF2-SHA512 Werkzeug", uni, "pbkdf2:sha512:50000$saltSALT$1ea4be85ad7b287b27233947710946f494fffbf647cf4d603eb2ae5f0a0c62a644f5d85b3c626cfa8c7fbbc64a663fc34976fa96518396fed7079ecbfda65ecf", "pbkdf2-sha512:50000:0:0"},
}

func parsed(t *testing.T, text string) Record {
	t.Helper()
	r, err := ParseRecord(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestKnownAnswersOfEveryKind(t *testing.T) {
	for _, tt := range knownAnswers {
		t.Run(tt.name, func(t *testing.T) {
			r := parsed(t, tt.record)
			if got := r.Cost().String(); got != tt.cost {
				t.Errorf("cost %s, want %s", got, tt.cost)
			}
			if !r.matches([]byte(tt.password)) {
				t.Error("the right password is refused")
			}
			if r.matches([]byte(tt.password[1:])) {
				t.Error("a wrong password is taken")
			}
			again := parsed(t, r.Text())
			if !again.matches([]byte(tt.password)) || again.Text() != r.Text() {
				t.Error("the stored text is another record")
			}
			if c, err := ParseCost(tt.cost); err != nil || c != r.Cost() {
				t.Errorf("ParseCost = %v, %v", c, err)
			}
		})
	}
}

func TestRecordsThatAreRefused(t *testing.T) {
	const sum = "$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for text, want := range map[string]Fault{
		"":             NoPassword,
		"!":            NoPassword,
		"*":            NoPassword,
		"!pbkdf2_sha2": NoPassword,
		"hunter2":      Unknown,
		"$argon2id$v=19$m=4194304,t=2,p=1$" + salt + sum:                                                      TooCostly, // 4 GiB
		"$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + sum:                                                   TooCostly,
		"$argon2id$v=19$m=4294967296,t=1,p=1$" + salt + sum:                                                   Malformed,
		"$argon2id$v=19$m=131072,t=9,p=1$" + salt + sum:                                                       TooCostly,
		"$argon2id$v=19$m=8,t=4294967295,p=1$" + salt + sum:                                                   TooCostly,
		"$argon2id$v=19$m=65536,t=2,p=255$" + salt + sum:                                                      TooCostly,
		"$argon2id$v=19$m=65536,t=2,p=256$" + salt + sum:                                                      TooCostly,
		"$argon2id$v=19$m=7,t=2,p=1$" + salt + sum:                                                            Malformed,
		"$argon2id$v=19$m=65536,t=0,p=1$" + salt + sum:                                                        Malformed,
		"$argon2id$v=19$m=65536,t=2,p=0$" + salt + sum:                                                        Malformed,
		"$argon2id$v=19$m=+5536,t=2,p=1$" + salt + sum:                                                        Malformed,
		"$argon2id$v=19$m=065536,t=2,p=1$" + salt + sum:                                                       Malformed,
		"$argon2id$v=19$t=2,m=65536,p=1$" + salt + sum:                                                        Malformed,
		"$argon2id$v=19$m=65536,t=2,p=1,keyid=a$" + salt + sum:                                                Malformed,
		"$argon2id$v=19$m=65536,t=2,p=1$" + salt + sum + "$":                                                  Malformed,
		"$argon2id$v=19$m=65536,t=2,p=1$" + salt:                                                              Malformed,
		"$argon2id$v=19$m=65536,t=2,p=1$" + salt + "\n" + sum:                                                 Malformed,
		"$argon2id$v=19$m=65536,t=2,p=1$AAB" + sum:                                                            Malformed, // spare bits
		"$argon2id$v=19$m=65536,t=2,p=1$AAAA" + sum:                                                           TooWeak,
		"$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$AAAA":                                                    TooWeak,
		"$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$é":                                                       Malformed,
		"$argon2id$v=16$m=65536,t=2,p=1$" + salt + sum:                                                        Unsupported,
		"$argon2id$m=65536,t=2,p=1$" + salt + sum:                                                             Unsupported,
		"$argon2id$v=20$m=65536,t=2,p=1$" + salt + sum:                                                        Malformed,
		"$argon2d$v=19$m=65536,t=2,p=1$" + salt + sum:                                                         Unsupported,
		"argon2$argon2d$v=19$m=65536,t=2,p=1$" + salt + sum:                                                   Unsupported,
		"$argon2id$v=19$m=65536,t=2,p=1$" + strings.Repeat("A", 512):                                          TooLarge,
		"$argon2id$v=19$m=65536,t=2,p=1$" + strings.Repeat("A", 200) + sum:                                    TooLarge,
		"$2x$" + b05 + "HNbAKRhpaujgo33bRWs.NLUTJO3lOy2":                                                      Unsupported,
		"$2b$15$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2":                                        TooCostly,
		"$2b$31$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2":                                        TooCostly,
		"$2b$03$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2":                                        Malformed,
		"$2b$-5$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2":                                        Malformed,
		"$2b$" + b05 + "HNbAKRhpaujgo33bRWs.NLUTJO3lOy":                                                       Malformed,
		"$2b$" + b05 + "HNbAKRhpaujgo33bRWs.NLUTJO3lOy22":                                                     Malformed,
		"$2b$" + b05 + "HNbAKRhpaujgo33bRWs.NLUTJO3lO=2":                                                      Malformed,
		"$scrypt$ln=17,r=16,p=1$" + salt + sum:                                                                TooCostly,
		"$scrypt$ln=20,r=8,p=1$" + salt + sum:                                                                 TooCostly,
		"$scrypt$ln=31,r=4294967295,p=4294967295$" + salt + sum:                                               TooCostly,
		"$scrypt$ln=64,r=8,p=1$" + salt + sum:                                                                 TooCostly,
		"$scrypt$ln=1,r=4294967295,p=1$" + salt + sum:                                                         TooCostly,
		"$scrypt$ln=0,r=8,p=1$" + salt + sum:                                                                  Malformed,
		"scrypt$1000$saltSALT$8$1$AAAA":                                                                       Malformed,
		"scrypt$1024$saltSALT$8$AAAA":                                                                         Malformed,
		"scrypt:1024:8$saltSALT$00":                                                                           Malformed,
		"scrypt:1024:8:1$saltSALT$zz":                                                                         Malformed,
		"$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D":                            Unsupported,
		"pbkdf2_sha256$999$seasaltseasalt$AdAvoLf6ISDfOk7ZywrMPBGvsBWLmJNF+vkY0sxM/iQ=":                       TooWeak,
		"pbkdf2_sha256$4000000000$seasaltseasalt$AdAvoLf6ISDfOk7ZywrMPBGvsBWLmJNF+vkY0sxM/iQ=":                TooCostly,
		"pbkdf2_sha256$20000$salt$AdAvoLf6ISDfOk7ZywrMPBGvsBWLmJNF+vkY0sxM/iQ=":                               TooWeak,
		"pbkdf2_sha256$20000$seasaltseasalt$":                                                                 TooWeak,
		"pbkdf2:sha256$saltSALT$00":                                                                           Unknown,
		"$pbkdf2-sha256$i=1e9$" + salt + "$" + sum:                                                            Malformed,
		"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1": Unsupported,
		"$P$B12345678abcdefghijklmnopqrstuv":                                                                  Unsupported,
		"{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3":                                                              Unsupported,
		strings.Repeat("$", 10<<20):                                                                           TooLarge,
	} {
		r, err := ParseRecord(text)
		var refusal *RecordError
		if !errors.As(err, &refusal) || refusal.Fault != want || !r.IsZero() {
			t.Errorf("ParseRecord(%.70q) = %v, %v; want %s", text, r, err, want)
			continue
		}
		if len(text) > 12 && strings.Contains(refusal.Error(), text[len(text)-12:]) {
			t.Errorf("%.70q: the refusal repeats the record", text)
		}
	}
}

func TestRefusingALargeRecordAllocatesNothingForIt(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		if _, err := ParseRecord("$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"); err == nil {
			t.Fatal("4 GiB are taken")
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("100 refusals took %d bytes", n)
	}
}

func TestBcryptSpareBitsAreCleared(t *testing.T) {
	// The last character of the salt has 4 spare bits, that of the hash 2; these have them set.
	r := parsed(t, "$2b$05$abcdefghijklmnopqrstuvHNbAKRhpaujgo33bRWs.NLUTJO3lOy3")
	if want := "$2b$" + b05 + "HNbAKRhpaujgo33bRWs.NLUTJO3lOy2"; r.Text() != want {
		t.Fatalf("got %s", r.Text())
	}
	if !r.matches([]byte(pw)) {
		t.Error("refused")
	}
}

func TestNeedsUpgrade(t *testing.T) {
	const tail = "$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for params, want := range map[string]bool{
		"$argon2id$v=19$m=19456,t=2,p=1": false,
		"$argon2id$v=19$m=19456,t=3,p=1": false,
		"$argon2id$v=19$m=65536,t=4,p=4": false,
		"$argon2id$v=19$m=65536,t=1,p=4": false,
		"$argon2id$v=19$m=19456,t=1,p=1": true,
		"$argon2id$v=19$m=16384,t=9,p=1": true,
		"$argon2i$v=19$m=65536,t=4,p=1":  true,
	} {
		if got := NeedsUpgrade(parsed(t, params+tail), Default); got != want {
			t.Errorf("%s: %v", params, got)
		}
	}
	for _, tt := range knownAnswers {
		if !NeedsUpgrade(parsed(t, tt.record), Default) { // the argon2id ones have 8 bytes of salt
			t.Errorf("%s stays", tt.name)
		}
	}
}

func TestLOG1_RecordsDoNotShowThemselves(t *testing.T) {
	r := parsed(t, knownAnswers[2].record)
	h := struct{ R Record }{r}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "record", r, "in", h)
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	log.Write(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb+verb+verb, r, &r, h)
	}
	for _, secret := range []string{"c29tZXNhbHQ", "CTFhFdXP", "115 111 109", "736f6d65", "736F6D65", "0x73"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is shown: %s", secret, log.String())
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, tt := range knownAnswers {
		f.Add(tt.record)
	}
	f.Add("$argon2id$v=19$m=4194304,t=2,p=1$" + salt + "$" + sum24)
	f.Add("$scrypt$ln=31,r=4294967295,p=4294967295$" + salt + "$" + sum24)
	f.Add("bcrypt$$2b$" + b05)
	f.Add("!")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecord(text)
		if err != nil {
			var refusal *RecordError
			if !errors.As(err, &refusal) || refusal.Fault == "" || !r.IsZero() {
				t.Fatalf("%v, %v", r, err)
			}
			return
		}
		if m := r.cost.memory(); m > MaxMemory {
			t.Fatalf("%d KiB", m)
		}
		again, err := ParseRecord(r.Text())
		if err != nil || again.Text() != r.Text() || again.Cost() != r.Cost() {
			t.Fatalf("%q is stored as %q: %v", text, r.Text(), err)
		}
		if c, err := ParseCost(r.Cost().String()); err != nil || c != r.Cost() {
			t.Fatalf("%v: %v", r.Cost(), err)
		}
		if strings.ContainsAny(r.Text(), "\n ") {
			t.Fatal("a space")
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, text := range []string{
		"argon2id:19456:2:1", "argon2id:65536:3:4", "bcrypt:10:0:0", "bcrypt:12:0:0", "bcrypt:14:0:0", "scrypt:16384:8:5",
		"scrypt:131072:8:1", "pbkdf2-sha1:1300000:0:0", "pbkdf2-sha256:600000:0:0", "pbkdf2-sha512:210000:0:0",
	} {
		b.Run(text, func(b *testing.B) {
			c, err := ParseCost(text)
			if err != nil {
				b.Fatal(err)
			}
			r := dummyRecord(c)
			b.ReportAllocs()
			for b.Loop() {
				r.matches([]byte(pw))
			}
		})
	}
}
