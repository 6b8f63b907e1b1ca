// Package emaillink is a Caddy module that puts sign-in by email link in front of any backend. Importing it registers the
// global option and the site directive `email_link`, the app, its storage, mailers and accounts, and the command
// `caddy email-link`.
//
//	{
//		email_link {
//			base_url https://app.example.com
//			from "Example <no-reply@example.com>"
//			mailer smtp mail.example.com:587 mailer {env.SMTP_PASSWORD}
//		}
//	}
//
//	app.example.com {
//		email_link
//		reverse_proxy localhost:3000
//	}
//
// It is the path to build Caddy with: xcaddy build --with github.com/caddy-email-link/caddy-email-link.
package emaillink

import (
	_ "github.com/caddy-email-link/caddy-email-link/caddyfile" // the grammar
	_ "github.com/caddy-email-link/caddy-email-link/module"    // the modules
)
