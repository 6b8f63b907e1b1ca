// Command caddy is Caddy with its standard modules, email_link and its storage in PostgreSQL, for installations that want one file.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link"
	_ "github.com/caddy-email-link/caddy-email-link/storage/postgres"
)

func main() { caddycmd.Main() }
