package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

// Brand is how a site looks. The zero value is the embedded look.
type Brand struct {
	// Logo stands above each page, LogoDark in its place in the dark theme; without LogoDark it is Logo in both.
	Logo, LogoDark File
	// Wordmark is set when the logo shows the site's name: the name is then there for screen readers alone.
	Wordmark bool
	// Favicon is the icon of the browser's tab. Default: Logo where it is no wordmark, else the embedded one.
	Favicon File
	// Accent are the rules that put the site's colour in the place of the embedded one.
	Accent File
}

// File is a file that pages load, under a name that changes with its content. The zero value is none.
type File struct {
	Name, Type string
	Content    []byte
}

// imageKinds are the images that pages may show, by their media type.
var imageKinds = [...]struct{ mediaType, extension, magic string }{
	{"image/png", ".png", "\x89PNG\r\n\x1a\n"},
	{"image/jpeg", ".jpg", "\xff\xd8\xff"},
	{"image/webp", ".webp", "RIFF"},
	{iconType, ".ico", "\x00\x00\x01\x00"},
}

const (
	svgType  = "image/svg+xml"
	iconType = "image/vnd.microsoft.icon"
)

// NewImage returns an image as pages load it, by what its bytes are and not by a file's name: SVG, PNG, WebP, JPEG, or as a favicon ICO.
func NewImage(use string, content []byte) (f File, ok bool) {
	for _, kind := range imageKinds {
		rest, found := bytes.CutPrefix(content, []byte(kind.magic))
		switch {
		case !found, kind.mediaType == iconType && use != "favicon",
			kind.mediaType == "image/webp" && !(len(rest) > 8 && string(rest[4:8]) == "WEBP"):
			continue
		}
		return newFile(use, kind.extension, kind.mediaType, content), true
	}
	if isSVG(content) {
		return newFile(use, ".svg", svgType, content), true
	}
	return File{}, false
}

// isSVG reports whether the root of an XML document is an svg element.
func isSVG(content []byte) bool {
	dec := xml.NewDecoder(bytes.NewReader(content))
	dec.Strict = false // drawing programs write entities that a reader of XML alone does not know
	dec.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		switch token := token.(type) {
		case xml.StartElement:
			return token.Name.Local == "svg" && token.Name.Space == "http://www.w3.org/2000/svg" // browsers draw no other
		case xml.CharData:
			if len(bytes.TrimSpace(bytes.TrimPrefix(token, []byte("\ufeff")))) > 0 {
				return false
			}
		}
	}
}

// NewAccent returns the rules of a colour as pages load them.
func NewAccent(a templates.Accent) File {
	if rules := a.Stylesheet(); rules != nil {
		return newFile("brand", ".css", "text/css; charset=utf-8", rules)
	}
	return File{}
}

func newFile(use, extension, mediaType string, content []byte) File {
	sum := sha256.Sum256(content)
	return File{Name: use + "." + hex.EncodeToString(sum[:8]) + extension, Type: mediaType, Content: content}
}

// file returns the file of a name.
func (b *Brand) file(name string) (File, bool) {
	for _, f := range [...]*File{&b.Logo, &b.LogoDark, &b.Favicon, &b.Accent} {
		if f.Name != "" && f.Name == name {
			return *f, true
		}
	}
	return File{}, false
}

// apply tells the pages of a site below prefix where the files of its look are.
func (b *Brand) apply(f *templates.Frame, prefix string) {
	path := func(file *File) string {
		if file.Name == "" {
			return ""
		}
		return prefix + "/assets/" + file.Name
	}
	f.Logo, f.LogoDark, f.Wordmark = path(&b.Logo), path(&b.LogoDark), b.Wordmark
	f.Favicon, f.BrandStyle = path(&b.Favicon), path(&b.Accent)
	if f.Favicon == "" && !b.Wordmark {
		f.Favicon = f.Logo
	}
}
