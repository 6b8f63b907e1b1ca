package templates

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"slices"
	"strings"
	"sync"
	texttemplate "text/template"
	"text/template/parse"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// compiled is one good state of all files.
type compiled struct {
	tags      []string
	languages map[string]*language
	choices   []languageChoice
	// assets are by hashed name; styleName, scriptName, workerName and iconName are four of these names.
	assets                                      map[string]asset
	styleName, scriptName, workerName, iconName string
	src                                         sources

	mu sync.Mutex // guards keys and the templates of all languages, which are parsed when they are first asked for
	// keys are the messages that the parsed templates name, for the tests.
	keys map[string]bool
}

// language is everything in one language. Most sites speak one or two: the others cost neither time nor memory.
type language struct {
	catalog   *catalog
	location  *time.Location
	pages     map[string]*htmltemplate.Template
	mailHTML  map[mailer.Kind]*htmltemplate.Template
	mailTexts map[mailer.Kind]*texttemplate.Template
}

// unchanged keeps the embedded set, which is the same at each reload of the configuration, for the last zone that was asked for.
var unchanged struct {
	sync.Mutex
	location *time.Location
	compiled *compiled
}

// compile returns a good state of all files, or the first mistake. The embedded ones are tried by the tests, not at each start.
func compile(opts Options) (*compiled, error) {
	if opts.Dir != "" {
		return compileFiles(opts)
	}
	unchanged.Lock()
	defer unchanged.Unlock()
	if unchanged.compiled == nil || unchanged.location != opts.Location {
		c, err := readFiles(opts)
		if err != nil {
			return nil, err
		}
		unchanged.location, unchanged.compiled = opts.Location, c
	}
	return unchanged.compiled, nil
}

// compileFiles reads, parses, checks and tries all files.
func compileFiles(opts Options) (*compiled, error) {
	c, err := readFiles(opts)
	if err == nil {
		err = c.parse()
	}
	if err == nil {
		err = c.try()
	}
	return c, err
}

// readFiles reads all files and parses the catalogues.
func readFiles(opts Options) (*compiled, error) {
	src, err := readSources(opts.Dir)
	if err != nil {
		return nil, err
	}
	cats, err := readCatalogs(src)
	if err != nil {
		return nil, err
	}
	c := &compiled{src: src, languages: map[string]*language{}, keys: map[string]bool{}, assets: map[string]asset{}}
	c.styleName = c.addAsset("style", ".css", "text/css; charset=utf-8", src)
	c.scriptName = c.addAsset("page", ".js", "text/javascript; charset=utf-8", src)
	c.workerName = c.addAsset("worker", ".js", "text/javascript; charset=utf-8", src)
	c.iconName = c.addAsset("icon", ".svg", "image/svg+xml", src)
	c.tags = sortedKeys(cats)
	for _, tag := range c.tags {
		c.languages[tag] = &language{
			catalog: cats[tag], location: opts.Location, pages: map[string]*htmltemplate.Template{},
			mailHTML: map[mailer.Kind]*htmltemplate.Template{}, mailTexts: map[mailer.Kind]*texttemplate.Template{},
		}
		c.choices = append(c.choices, languageChoice{tag, cats[tag].name, cats[tag].dir})
	}
	return c, nil
}

// parse parses all that has not been asked for yet.
func (c *compiled) parse() error {
	for _, tag := range c.tags {
		for _, name := range Pages {
			if _, err := c.pageTemplate(c.languages[tag], name); err != nil {
				return err
			}
		}
		for _, kind := range mailer.Kinds {
			if _, _, err := c.mailTemplates(c.languages[tag], kind); err != nil {
				return err
			}
		}
	}
	return nil
}

// asset is a file that pages load.
type asset struct {
	content     []byte
	contentType string
}

// addAsset takes up a file of assets/ and returns its name, which changes with its content.
func (c *compiled) addAsset(name, extension, contentType string, src sources) string {
	content := []byte(src.files["assets/"+name+extension].text)
	sum := sha256.Sum256(content)
	hashed := name + "." + hex.EncodeToString(sum[:8]) + extension
	c.assets[hashed] = asset{content, contentType}
	return hashed
}

// pageTemplate returns one page in one language, nil when there is no such page.
func (c *compiled) pageTemplate(l *language, name string) (*htmltemplate.Template, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := l.pages[name]; t != nil || !slices.Contains(Pages, name) {
		return t, nil
	}
	t, err := c.parseHTML(l.catalog, l.location, c.src.files["pages/layout.html"], c.src.files["pages/"+name+".html"], "title", "main")
	if err != nil {
		return nil, err
	}
	l.pages[name] = t
	return t, nil
}

// mailTemplates returns one mail in one language, nil when there is no such mail.
func (c *compiled) mailTemplates(l *language, kind mailer.Kind) (*htmltemplate.Template, *texttemplate.Template, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := l.mailTexts[kind]; t != nil || !slices.Contains(mailer.Kinds, kind) {
		return l.mailHTML[kind], t, nil
	}
	files := c.src.files
	html, err := c.parseHTML(l.catalog, l.location, files["mails/layout.html"], files["mails/"+string(kind)+".html"], "heading", "body")
	if err != nil {
		return nil, nil, err
	}
	text, err := c.parseText(l.catalog, l.location, files["mails/layout.txt"], files["mails/"+string(kind)+".txt"])
	if err != nil {
		return nil, nil, err
	}
	l.mailHTML[kind], l.mailTexts[kind] = html, text
	return html, text, nil
}

// parseText parses a layout and what goes into it.
func (c *compiled) parseText(cat *catalog, loc *time.Location, layout, body source) (*texttemplate.Template, error) {
	t, err := texttemplate.New(layout.name).Option("missingkey=error").Funcs(cat.funcs(loc)).Parse(layout.text)
	if err == nil {
		_, err = t.New(body.name).Parse(body.text)
	}
	if err != nil {
		return nil, tidyMail(err)
	}
	for _, t := range t.Templates() {
		if err := c.checkKeys(cat, t.Tree); err != nil {
			return nil, err
		}
	}
	for _, part := range [...]string{"subject", "heading", "body"} {
		if t.Lookup(part) == nil {
			return nil, missingKeys(body, part)
		}
	}
	return t, nil
}

// parseHTML parses a layout and what goes into it.
func (c *compiled) parseHTML(cat *catalog, loc *time.Location, layout, body source, parts ...string) (*htmltemplate.Template, error) {
	t, err := htmltemplate.New(layout.name).Option("missingkey=error").Funcs(cat.funcs(loc)).Parse(layout.text)
	if err == nil {
		_, err = t.New(body.name).Parse(body.text)
	}
	if err != nil {
		return nil, tidyMail(err)
	}
	for _, t := range t.Templates() {
		if err := c.checkKeys(cat, t.Tree); err != nil {
			return nil, err
		}
	}
	for _, part := range parts {
		if t.Lookup(part) == nil {
			return nil, missingKeys(body, part)
		}
	}
	return t, nil
}

// tidyMail takes the words "template: " off, so that an error begins with the file and the line.
func tidyMail(err error) error {
	text := err.Error()
	for _, prefix := range []string{"html/template:", "template: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return errors.New(text)
}

// failed is tidy for an error of rendering dot.
func failed(err error, dot any) error { return fmt.Errorf("%w%s", tidyMail(err), fieldHint(err, dot)) }

// checkKeys finds each message that a template names and refuses those that the catalogue lacks. Message names are written
// out in templates: that is what makes the catalogue complete.
func (c *compiled) checkKeys(cat *catalog, tree *parse.Tree) error {
	if tree == nil || tree.Root == nil {
		return nil
	}
	var first error
	walk(tree.Root, func(cmd *parse.CommandNode) {
		name, ok := cmd.Args[0].(*parse.IdentifierNode)
		if !ok || name.Ident != "t" && name.Ident != "rich" || first != nil {
			return
		}
		where, _ := tree.ErrorContext(cmd)
		if len(cmd.Args) < 2 {
			first = fmt.Errorf("%s: %s needs the name of a message", where, name.Ident)
			return
		}
		key, ok := cmd.Args[1].(*parse.StringNode)
		if !ok {
			first = fmt.Errorf("%s: the name of a message is written out in quotes", where)
			return
		}
		m, ok := cat.messages[key.Text]
		if !ok {
			first = fmt.Errorf("%s: the catalogue has no message %q%s; catalog/%s.json has all", where, key.Text,
				hint(key.Text, sortedKeys(cat.messages)), DefaultLanguage)
			return
		}
		var given []string
		for _, a := range cmd.Args[2:] {
			if s, ok := a.(*parse.StringNode); ok {
				given = append(given, s.Text)
			}
		}
		for _, h := range m.holes() {
			if !slices.Contains(given, h) {
				first = fmt.Errorf("%s: nothing fills {%s} of %q (%s); add the pair %q and a value", where, h, key.Text, m.at(), h)
			}
		}
		if len(m.forms) > 1 && !slices.Contains(given, "n") && first == nil {
			first = fmt.Errorf("%s: nothing is counted by %q here; write one text in place of the plural forms (%s)", where, key.Text, m.at())
		}
		c.keys[key.Text] = true
	})
	return first
}

// missingKeys is the error of a file without a part that its layout shows.
func missingKeys(file source, part string) error {
	return fmt.Errorf("%s: {{define %q}} is missing; write it around what is to stand there", file.name, part)
}

// walk visits every command below n.
func walk(n parse.Node, visit func(*parse.CommandNode)) {
	branch := func(b *parse.BranchNode) {
		walk(b.Pipe, visit)
		walk(b.List, visit)
		if b.ElseList != nil {
			walk(b.ElseList, visit)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, child := range n.Nodes {
			walk(child, visit)
		}
	case *parse.ActionNode:
		walk(n.Pipe, visit)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			walk(n.Pipe, visit)
		}
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.PipeNode:
		for _, cmd := range n.Cmds {
			visit(cmd)
			for _, arg := range cmd.Args {
				walk(arg, visit)
			}
		}
	}
}

// try renders every sample in every language: some mistakes show only then.
func (c *compiled) try() error {
	for _, tag := range c.tags {
		for _, s := range PageSamples() {
			s.Frame.Language = tag
			if err := c.page(io.Discard, s.Frame, s.Facts); err != nil {
				return err
			}
		}
		for _, s := range MailSamples() {
			if _, err := c.mail(s.Mail, tag); err != nil {
				return err
			}
		}
	}
	return nil
}
