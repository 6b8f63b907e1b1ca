package templates

import (
	"bytes"
	"fmt"
	"io"
)

// pageData is the dot of a page.
type pageData struct {
	Frame
	// Style, Script, Worker and Icon are paths of assets. Without an icon of our own browsers would ask the backend for one.
	Style, Script, Worker, Icon string
	// Languages are those to choose from, nil where none is offered.
	Languages []languageChoice
	Page      PageFacts
}

// languageChoice is a language by its own name, for the choice on each page.
type languageChoice struct{ Tag, Name, Direction string }

func (c *compiled) language(tag string) *language {
	if l, ok := c.languages[tag]; ok {
		return l
	}
	return c.languages[DefaultLanguage]
}

func (c *compiled) page(w io.Writer, f Frame, page PageFacts) error {
	l := c.language(f.Language)
	t, err := c.pageTemplate(l, page.page())
	if err != nil {
		return err
	}
	if t == nil {
		return fmt.Errorf("templates: no page is named %q", page.page())
	}
	if f.Timezone != nil {
		page = inZone(page, f.Timezone)
	}
	assets := f.Prefix + "/assets/"
	data := pageData{Frame: f, Style: assets + c.styleName, Script: assets + c.scriptName, Worker: assets + c.workerName, Icon: assets + c.iconName, Page: page}
	if f.Here != "" {
		data.Languages = c.choices
	}
	if f.Favicon != "" {
		data.Icon = f.Favicon
	}
	if err := t.Execute(w, data); err != nil {
		return failed(err, data)
	}
	return nil
}

func (c *compiled) mail(m Mail, tag string) (Rendered, error) {
	l := c.language(tag)
	html, words, err := c.mailTemplates(l, m.Kind)
	if err != nil {
		return Rendered{}, err
	}
	if words == nil {
		return Rendered{}, fmt.Errorf("templates: no mail is of the kind %q", m.Kind)
	}
	var subject, text, body bytes.Buffer
	if err := words.ExecuteTemplate(&subject, "subject", m); err != nil {
		return Rendered{}, failed(err, m)
	}
	if err := words.Execute(&text, m); err != nil {
		return Rendered{}, failed(err, m)
	}
	if err := html.Execute(&body, m); err != nil {
		return Rendered{}, failed(err, m)
	}
	return Rendered{
		Subject:  oneLine(subject.String()),
		Text:     wrap(text.String(), textWidth),
		HTML:     body.String(),
		Language: l.catalog.tag,
	}, nil
}
