package boundary

import "strings"

// KnownKind is what a known header means to a backend, and so from whom it may come.
type KnownKind uint8

const (
	// IdentityHeader names the user to a backend, or to serve another path than the one that was authorized. It passes from
	// no client and no proxy.
	IdentityHeader KnownKind = iota + 1
	// ProxyHeader is what a proxy in front rightly adds: the path as the client sent it, or the client's certificate. It passes
	// from trusted proxies only.
	ProxyHeader
	// MethodHeader asks an app to treat the request as one by another method. It passes unless a matcher of the gate decides by
	// the method.
	MethodHeader
)

// Known is a header that backends believe, or a family of them.
type Known struct {
	// Name is the header's name. A family ends in *, which matches any rest, an empty one included.
	Name string
	Kind KnownKind
	// By names the proxies that set it and the apps that believe it.
	By string
}

// KnownHeaders lists the known headers. docs/reference.md publishes it. Left alone on purpose:
//   - what describes the connection (X-Forwarded-For, -Host, -Proto, -Port, X-Real-IP);
//   - what is signed and verified by the app (Cf-Access-Jwt-Assertion, X-Goog-Iap-Jwt-Assertion, X-Amzn-Oidc-Data,
//     X-Pomerium-Jwt-Assertion);
//   - what clients of widespread apps send as credentials (Authorization, X-Auth-User and X-Auth-Token of OpenStack and
//     Rocket.Chat, X-User-Id, X-Api-Key).
func KnownHeaders() []Known {
	var list []Known
	for _, group := range known {
		for name := range strings.FieldsSeq(group.names) {
			list = append(list, Known{Name: name, Kind: group.kind, By: group.by})
		}
	}
	return list
}

var known = []struct {
	kind      KnownKind
	by, names string
}{
	{IdentityHeader, "Apache, Authelia, CGI and WSGI apps (`REMOTE_USER`)", `Remote-User Remote-Username Remote-Name
		Remote-Display-Name Remote-Email Remote-Mail Remote-Id Remote-Uid Remote-Group Remote-Groups Remote-Role Remote-Roles`},
	{IdentityHeader, "Kubernetes, Radicale and others", `X-Remote-User X-Remote-Username X-Remote-Name X-Remote-Email X-Remote-Mail
		X-Remote-Id X-Remote-Uid X-Remote-Group X-Remote-Groups X-Remote-Role X-Remote-Roles X-Remote-Extra-* Impersonate-*`},
	{IdentityHeader, "oauth2-proxy", `X-Forwarded-User X-Forwarded-Username X-Forwarded-User-Id X-Forwarded-Userinfo X-Forwarded-Name
		X-Forwarded-Email X-Forwarded-Group X-Forwarded-Groups X-Forwarded-Role X-Forwarded-Roles X-Forwarded-Preferred-Username
		X-Forwarded-Access-Token X-Forwarded-Id-Token X-Auth-Request-*`},
	{IdentityHeader, "Grafana, Gitea and Forgejo", `X-Webauth-*`},
	{IdentityHeader, "Ory Oathkeeper and gateways like it", `X-User X-User-Name X-User-Email X-User-Role X-User-Roles X-User-Group
		X-User-Groups X-Auth-Email X-Auth-Username X-Auth-Group X-Auth-Groups X-Auth-Role X-Auth-Roles X-Auth-Subject
		X-Authenticated-*`},
	{IdentityHeader, "Apache APISIX, Kong", `X-Userinfo X-Id-Token X-Access-Token X-Consumer-Id X-Consumer-Username
		X-Consumer-Custom-Id X-Consumer-Groups X-Credential-Identifier X-Credential-Username X-Anonymous-Consumer X-Jwt-Claim-*
		X-Jwt-Payload`},
	{IdentityHeader, "authentik", `X-Authentik-*`},
	{IdentityHeader, "Vouch Proxy", `X-Vouch-*`},
	{IdentityHeader, "Pomerium", `X-Pomerium-Claim-*`},
	{IdentityHeader, "caddy-security", `X-Token-Subject X-Token-User-*`},
	{IdentityHeader, "Cloudflare Access", `Cf-Access-Authenticated-User-*`},
	{IdentityHeader, "AWS load balancers", `X-Amzn-Oidc-Identity X-Amzn-Oidc-Accesstoken`},
	{IdentityHeader, "Google Cloud: IAP, API Gateway, Cloud Endpoints", `X-Goog-Authenticated-User-* X-Apigateway-Api-Userinfo
		X-Endpoint-Api-Userinfo`},
	{IdentityHeader, "Azure App Service", `X-Ms-Client-Principal* X-Ms-Token-*`},
	{IdentityHeader, "Tailscale Serve", `Tailscale-User-* Tailscale-App-Capabilities`},
	{IdentityHeader, "Hasura", `X-Hasura-*`},
	{IdentityHeader, "Apache mod_auth_openidc", `Oidc-Claim-* Oidc-Id-Token* Oidc-Access-Token* Oidc-Refresh-Token
		Oidc-Userinfo* Oidc-Session`},
	{IdentityHeader, "Shibboleth and mod_auth_mellon", `Shib-* Mellon-* Eppn Persistent-Id Targeted-Id Unscoped-Affiliation`},
	{IdentityHeader, "SiteMinder, IBM WebSEAL, Oracle Access Manager, LemonLDAP::NG", `Sm-User Sm-Userdn Sm-Universalid Iv-User
		Iv-User-L Iv-Groups Iv-Creds Oam-Remote-User Osso-User-Dn Auth-User Auth-Mail Auth-Groups`},
	{IdentityHeader, "frameworks that ran behind IIS, which serve the path it names (Symfony, Zend, ASP.NET)", `X-Original-Url
		X-Rewrite-Url`},
	{ProxyHeader, "apps behind Traefik, nginx, Envoy or Home Assistant, which build addresses by it", `X-Forwarded-Uri
		X-Forwarded-Url X-Forwarded-Path X-Forwarded-Prefix X-Forwarded-Method X-Original-Uri X-Original-Path X-Original-Method
		X-Envoy-Original-Path X-Envoy-Original-Method X-Replaced-Path X-Script-Name X-Ingress-Path`},
	{ProxyHeader, "apps that sign in by client certificate (RFC 9440, nginx, Envoy, HAProxy, Traefik, AWS, Azure)", `Client-Cert*
		X-Client-Cert* X-Client-Dn X-Client-Subject-Dn X-Client-Verify Ssl-Client-* X-Ssl-Client-* X-Forwarded-Client-Cert
		X-Forwarded-Ssl-Client-* X-Forwarded-Tls-Client-Cert* X-Amzn-Mtls-Clientcert* X-Arr-Clientcert`},
	{MethodHeader, "Rails, Laravel, Symfony, ASP.NET, Express's method-override", `X-Http-Method-Override X-Http-Method
		X-Method-Override`},
}

// FindKnown returns the known header that name is or belongs to, in any spelling. A name that ends in * is a family: it
// is known when all of its members belong to one known family.
func FindKnown(name string) (Known, bool) {
	prefix, family := strings.CutSuffix(name, "*")
	folded := Fold(prefix)
	if folded == "" {
		return Known{}, false
	}
	for _, k := range KnownHeaders() {
		begin, whole := strings.CutSuffix(k.Name, "*")
		if whole && strings.HasPrefix(folded, Fold(begin)) || !whole && !family && folded == Fold(k.Name) {
			return k, true
		}
	}
	return Known{}, false
}

// Covers reports whether name, which may stand for a family by a * at its end, is the header other or has it as a member, in
// any spelling.
func Covers(name, other string) bool {
	prefix, family := strings.CutSuffix(name, "*")
	if family {
		return strings.HasPrefix(Fold(other), Fold(prefix))
	}
	return Fold(other) == Fold(name)
}
