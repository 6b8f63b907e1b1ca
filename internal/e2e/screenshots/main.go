// Command screenshots takes pictures of rendered pages in Chromium, in the light and the dark theme.
//
//	go run ./internal/web/preview -o build/preview
//	go -C internal/e2e run ./screenshots -preview ../../build/preview -o ../../docs/pictures
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// wait bounds the whole.
const wait = 5 * time.Minute

func main() {
	preview := flag.String("preview", "../../build/preview", "directory that the preview was written to")
	out := flag.String("o", "../../docs/pictures", "directory to write to")
	pages := flag.String("pages", "en/sign-in,en/resend,en/mail-sign-in", "pages of the preview, without .html")
	widths := flag.String("widths", "", "widths of windows, of which the names of the pictures have one each (480)")
	flag.Parse()
	if err := run(*preview, *out, strings.Split(*pages, ","), *widths); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func run(preview, out string, pages []string, widths string) error {
	dir, err := filepath.Abs(preview)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, chromedp.ExecPath("/usr/bin/chromium"), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("hide-scrollbars", true))
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	list := []string{""}
	if widths != "" {
		list = strings.Split(widths, ",")
	}
	for _, page := range pages {
		for _, width := range list {
			for _, theme := range []string{"light", "dark"} {
				name := strings.ReplaceAll(strings.TrimPrefix(page, "en/"), "/", "-") + "-"
				if width != "" {
					name += width + "-"
				}
				name += theme
				if err := shoot(ctx, "file://"+filepath.Join(dir, page+".html"), filepath.Join(out, name+".png"), width, theme); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return nil
}

// shoot takes one picture of a whole page. An empty width is that of the pictures in the README.
func shoot(ctx context.Context, address, file, width, theme string) error {
	w, height := int64(480), int64(100) // the page says how high it is
	if width != "" {
		var err error
		if w, err = strconv.ParseInt(width, 10, 64); err != nil {
			return err
		}
		height = 844
	}
	err := chromedp.Do(ctx, chromedp.EmulateViewport(w, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}), chromedp.Navigate(address))
	if err != nil {
		return err
	}
	shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		return err
	}
	return os.WriteFile(file, shot, 0o644)
}
