// Package templates is what people see: the pages, the mails and the words of both.
//
// A [Set] is loaded once with [Load]. Its files are embedded; a directory may override any of them by name:
//
//	pages/sign-in.html   one page; pages/layout.html is around each of them
//	mails/link.html      the HTML part of a mail; mails/layout.html is around each of them
//	mails/link.txt       the text part of the same mail
//	catalog/en.json      every word that is shown, in one language; a new file is a new language
//	assets/style.css     the one stylesheet of the pages
//	assets/page.js       the one script of the pages, without which they work as well
//	assets/worker.js     what it runs beside the page: it solves proofs of work
//	assets/icon.svg      the icon of the pages, where the site has no logo
//
// A catalogue in the directory need not be whole: what it lacks comes from the embedded one of its language, then from English.
// Files in the directory are read anew when they have changed. A mistake refuses to load, with the file and the line; a
// mistake in a file that was changed later is reported and the last good set stays.
//
// A catalogue is a JSON object with a member for each message: a text, or an object of plural forms (those that CLDR lists for
// the language, "other" among them) chosen by {n}. Words in braces are filled in, **two stars** are strong. "@language" is the
// language's own name, "@direction" ltr or rtl.
//
// # A new message
//
//   - Write it into catalog/en.json, named after the page or the mail that shows it ("reset.heading", "mail.reset.subject"),
//     and under the same name, at the same place, into every other file of catalog/. Nothing borrows a word order: {site} or
//     {time} may stand anywhere in the sentence. Ask for a whole sentence rather than for parts of one.
//   - Show it with t or rich in a template. A message that only Go code names goes onto the list inCode of catalog_test.go; a new
//     [Code] needs "problem.<code>" and nothing else.
//   - A new page or mail, or a new state of one, gets a sample in [PageSamples] or [MailSamples]. The tests render them all, and
//     so does a load with a directory.
//   - go test ./templates -update writes the mails in testdata/<language> anew: read the difference. make preview shows the rest.
//
// What is forgotten fails in TestCatalogues_AreCompleteAndHoldNothingElse (a file lacks the message, or no template shows it), in
// TestTranslations_SayWhatEnglishSays (other words in braces or other strong words than English, or English left over), in
// TestTranslations_Typography (quotation marks, spaces before signs) or in the load itself, with file, line and remedy.
//
// Templates are those of html/template and text/template, with these functions: t and rich write a message (rich with strong
// words, for HTML), with pairs of names and values for its braces; problem writes what went wrong; moment and ends write a
// time, local and localnear one that the script of the pages writes anew in the reader's zone (for rich), zone names the zone of times that have none of their own, region a part of the world, device a browser, event what has happened to an account, methods how a session was opened, group a code; until is the time from one moment to another; lang and
// dir are of the catalogue.
//
// What a page or a mail may say is a plain struct: [SignIn], [Resend], [Confirm], … and [Mail]. Nothing else reaches a
// template.
package templates

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

//go:embed pages mails catalog assets
var embedded embed.FS

// DefaultLanguage is the language of the catalogue that is always whole.
const DefaultLanguage = "en"

// Options say where a [Set] comes from. The zero value is the embedded set.
type Options struct {
	// Dir overrides embedded files by name; empty means none.
	Dir string
	// Location is the zone in which times are written that have none of their own (the zone of the machine).
	Location *time.Location
	// Report is called once for each change of Dir with the reason why the changed files are not used. It may be nil.
	Report func(error)
	// Now is the time by which Dir is looked at again, at most once a second (time.Now).
	Now func() time.Time
}

// Set renders pages and mails. It is safe for concurrent use.
type Set struct {
	opts    Options
	current atomic.Pointer[compiled]

	mu        sync.Mutex // guards what follows
	checkedAt time.Time
	stampAt   string
}

// Load reads every template and catalogue. With a directory it compiles and tries them all, and the error names the file and the
// line; the embedded ones have been tried by the tests, and each is compiled when it is first asked for.
func Load(opts Options) (*Set, error) {
	if opts.Location == nil {
		opts.Location = time.Local
	}
	if opts.Report == nil {
		opts.Report = func(error) {}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Set{opts: opts, checkedAt: opts.Now()}
	stamp, err := stampOf(opts.Dir)
	if err != nil {
		return nil, err
	}
	c, err := compile(opts)
	if err != nil {
		return nil, err
	}
	s.stampAt = stamp
	s.current.Store(c)
	return s, nil
}

// Page writes one page. Nothing is written when it fails.
func (s *Set) Page(w io.Writer, f Frame, page PageFacts) error {
	c := s.fresh()
	var b bytes.Buffer
	if err := c.page(&b, f, page); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Mail renders one mail in the language nearest to locale, a BCP 47 tag or an Accept-Language header. Rendering the same
// facts again gives the same bytes.
func (s *Set) Mail(m Mail, locale string) (Rendered, error) {
	c := s.fresh()
	return c.mail(m, c.match(locale))
}

// Language picks the catalogue for an Accept-Language header, DefaultLanguage when none fits.
func (s *Set) Language(acceptLanguage string) string { return s.fresh().match(acceptLanguage) }

// Text puts a problem into words, for answers that are no page.
func (s *Set) Text(language string, p Problem) string {
	return s.fresh().language(language).catalog.fill(p.key(), p.pairs(), plain)
}

// StyleName is the hashed name of the stylesheet as it is now.
func (s *Set) StyleName() string { return s.fresh().styleName }

// Languages lists the tags of all catalogues, in order.
func (s *Set) Languages() []string { return append([]string(nil), s.fresh().tags...) }

// Describe returns the name of a language in that language, and its direction: "ltr" or "rtl".
func (s *Set) Describe(tag string) (name, direction string) {
	c := s.fresh().language(tag).catalog
	return c.name, c.dir
}

// Asset returns the content of an asset under its hashed name, such as "style.0f343b0931126a20.css".
func (s *Set) Asset(name string) (content []byte, contentType string, found bool) {
	a, found := s.fresh().assets[name]
	return a.content, a.contentType, found
}

// fresh returns the current templates and reads changed files first, looking at most once a second.
func (s *Set) fresh() *compiled {
	if s.opts.Dir == "" || !s.mu.TryLock() {
		return s.current.Load()
	}
	defer s.mu.Unlock()
	now := s.opts.Now()
	if d := now.Sub(s.checkedAt); d >= 0 && d < time.Second {
		return s.current.Load()
	}
	s.checkedAt = now
	stamp, err := stampOf(s.opts.Dir)
	if err == nil && stamp == s.stampAt {
		return s.current.Load()
	}
	if err != nil {
		stamp = "unreadable"
		if stamp == s.stampAt {
			return s.current.Load()
		}
	}
	s.stampAt = stamp
	if err == nil {
		var c *compiled
		if c, err = compile(s.opts); err == nil {
			s.current.Store(c)
			return c
		}
	}
	s.opts.Report(fmt.Errorf("templates: the last good ones stay in use: %w", err))
	return s.current.Load()
}

// readEmbedded returns the embedded file; its absence is a mistake of this package.
func readEmbedded(name string) ([]byte, error) { return fs.ReadFile(embedded, name) }
