package module

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/timezone"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// Logo is the image above each page.
type Logo struct {
	// File is the path of an SVG, PNG, WebP or JPEG of up to 256 KiB. Default: none.
	File string `json:"file,omitempty"`
	// Dark is the path of the image that the dark theme shows. Default: File.
	Dark string `json:"dark,omitempty"`
	// Wordmark says that the image shows the site's name, which is then not written beside it. Default: false.
	Wordmark bool `json:"wordmark,omitempty"`
}

// maxImage is the largest image, in bytes.
const maxImage = 256 << 10

// readBrand reads how the pages look.
func (a *App) readBrand() (err error) {
	b := &a.policy.brand
	if a.Logo.File == "" && (a.Logo.Dark != "" || a.Logo.Wordmark) {
		return a.Source.wrap("logo", errors.New("logo: the file for the light theme is missing; write it first, logo <file> dark <file>"))
	}
	b.Wordmark = a.Logo.Wordmark
	for _, one := range []struct {
		option, use, path string
		into              *web.File
	}{
		{"logo", "logo", a.Logo.File, &b.Logo},
		{"logo", "logo-dark", a.Logo.Dark, &b.LogoDark},
		{"favicon", "favicon", a.Favicon, &b.Favicon},
	} {
		if *one.into, err = readImage(one.option, one.use, one.path); err != nil {
			return a.Source.wrap(one.option, err)
		}
	}
	if a.Accent == "" {
		return nil
	}
	color, err := expand(a.Accent)
	if err != nil {
		return a.Source.wrap("accent", fmt.Errorf("accent: %w", err))
	}
	accent, err := templates.ParseAccent(color)
	b.Accent = web.NewAccent(accent)
	return a.Source.wrap("accent", err)
}

// readImage reads an image that pages show.
func readImage(option, use, path string) (web.File, error) {
	path, err := expand(path)
	if err != nil {
		return web.File{}, fmt.Errorf("%s: %w", option, err)
	}
	if path == "" {
		return web.File{}, nil
	}
	content, err := readSmall(path)
	if err != nil {
		return web.File{}, fmt.Errorf("%s: %w", option, err)
	}
	image, ok := web.NewImage(use, content)
	if !ok {
		kinds := "SVG, PNG, WebP or JPEG"
		if use == "favicon" {
			kinds = "SVG, PNG, ICO, WebP or JPEG"
		}
		return web.File{}, fmt.Errorf("%s: what is in %s is no image of a kind that every browser shows: save it as %s", option, path, kinds)
	}
	return image, nil
}

// readSmall reads a file of up to maxImage bytes.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s; write the path of one, whole or from the directory that Caddy is started in", path)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file; write the path of an image", path)
	case info.Size() > maxImage:
		return nil, fmt.Errorf("%s has %d KiB, and each page loads it: 256 KiB is the most; save it smaller, as an SVG or some 400 pixels wide", path, info.Size()>>10)
	case info.Size() == 0:
		return nil, fmt.Errorf("%s is empty; write the path of an image", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxImage))
}

// CheckTimezone returns the zone of an IANA name, such as Europe/Berlin.
func CheckTimezone(name string) (*time.Location, error) {
	zone, ok := timezone.Load(name)
	if !ok {
		return nil, fmt.Errorf("timezone: %q is not the name of a time zone; write one of the IANA database, such as Europe/Berlin, America/Lima or UTC", name)
	}
	return zone, nil
}

// readTimezone resolves the zone of written times. Without the option it is UTC, whatever the machine's zone is.
func (a *App) readTimezone() (err error) {
	a.policy.location = time.UTC
	if a.Timezone == "" {
		return nil
	}
	name, err := expand(a.Timezone)
	if err != nil {
		return fmt.Errorf("timezone: %w", err)
	}
	a.policy.location, err = CheckTimezone(name)
	return err
}
