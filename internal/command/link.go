package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"
	"rsc.io/qr"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

func (r *root) link() *cobra.Command {
	var in operator.LinkInput
	var ttl string
	var code bool
	cmd := r.command("link <email> [--for <purpose>] [--ttl <duration>] [--site <origin>] [--qr]", "Prints a link that signs in",
		`Prints a link that works like the one in an email, for a person who cannot receive mail. Hand it over as you would a key.

For an address without an account, the link creates the account when it is used; if that address could not sign up by itself, this
takes --for activation. With --for reset the link opens the form for a new password.

Example: caddy email-link link grandma@example.com --ttl 24h --qr`, 1, 1,
		func(ctx context.Context, args []string, out io.Writer) (err error) {
			in.Email = args[0]
			if ttl != "" {
				if in.TTL, err = caddy.ParseDuration(ttl); err != nil || in.TTL <= 0 {
					return fmt.Errorf("--ttl: %q must be a positive duration, such as 12h or 3d", ttl)
				}
			}
			return r.withOperations(ctx, func(b operator.Operations) error {
				l, err := b.MakeLink(ctx, in)
				if err != nil {
					return err
				}
				text := fmt.Sprintf("%s\nworks until %s, once\n", l.URL, l.Expires.Local().Format("2006-01-02 15:04 MST"))
				if l.Purpose == flow.Activation {
					text += "there is no account " + printable(in.Email) + ": this link makes one\n"
				}
				if code && !r.json {
					picture, err := drawQR(l.URL)
					if err != nil {
						return err
					}
					text += picture
				}
				return r.print(out, l, text)
			})
		})
	cmd.Flags().StringVar(&in.For, "for", "", "The purpose: sign_in, activation or, where people sign in with passwords, reset (default: by whether there is an account)")
	cmd.Flags().StringVar(&ttl, "ttl", "", fmt.Sprintf("How long the link works, %dh at most (default: the purpose's lifetime)", flow.MaxLinkTTL/time.Hour))
	cmd.Flags().StringVar(&in.Site, "site", "", "The site's origin, such as https://app.example.com (default: the portal, or the only one)")
	cmd.Flags().BoolVar(&code, "qr", false, "Draw a QR code too")
	return cmd
}

// drawQR draws text with half blocks, dark on light, with the quiet zone that readers want.
func drawQR(text string) (string, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("drawing the QR code: %w", err)
	}
	const quiet = 2
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;47m")
		for x := -quiet; x < code.Size+quiet; x++ {
			switch upper, lower := code.Black(x, y), code.Black(x, y+1); {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}
