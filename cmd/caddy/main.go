// Command caddy is Caddy with its standard modules and email_link, for installations that want one file.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link"
)

func main() { caddycmd.Main() }
