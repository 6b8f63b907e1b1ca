package module

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// accessLog reports whether Caddy writes an access log for a request, and returns the names of its loggers below `http.log.access`. It
// repeats what caddyhttp.Server decides for itself (shouldLogRequest and wrapLogger) and does not offer to modules.
func accessLog(r *http.Request) (names []string, on bool) {
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil || server.Logs == nil {
		return nil, false
	}
	if skip, ok := caddyhttp.GetVar(r.Context(), caddyhttp.LogSkipVar).(bool); ok && skip {
		return nil, false // `log_skip` of the operator
	}
	host := strings.ToLower(r.Host)
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	mapped := false
	for pattern := range server.Logs.LoggerNames {
		mapped = mapped || matchesHost(host, pattern)
	}
	if !mapped && (server.Logs.SkipUnmappedHosts || slices.ContainsFunc(server.Logs.SkipHosts, func(pattern string) bool { return matchesHost(host, pattern) })) {
		return nil, false
	}
	if set, ok := caddyhttp.GetVar(r.Context(), caddyhttp.AccessLoggerNameVarKey).([]any); ok {
		for _, name := range set {
			text, _ := name.(string)
			names = append(names, text)
		}
		return names, true
	}
	for _, pattern := range hostPatterns(host) {
		if names, ok := server.Logs.LoggerNames[pattern]; ok {
			return names, true
		}
	}
	return []string{server.Logs.DefaultLoggerName}, true
}

// matchesHost reports whether a pattern of an access log is a host or covers it.
func matchesHost(host, pattern string) bool {
	return slices.Contains(hostPatterns(host), strings.ToLower(pattern))
}

// hostPatterns returns the names under which a host's loggers may be configured: the host, then with a star for one more label each time.
func hostPatterns(host string) []string {
	patterns := []string{host}
	labels := strings.Split(host, ".")
	for i := range labels {
		if labels[i] != "" {
			labels[i] = "*"
			patterns = append(patterns, strings.Join(labels, "."))
		}
	}
	return patterns
}

// logAccess writes the line of the access log for a request that Caddy is to leave out of it: to the same loggers, with the same
// fields, and the client as Caddy reads it. logged is the request as a log may show it. The headers of the answer are left out: they
// may hold an assertion, or the address of the request.
func (a *App) logAccess(names []string, logged *http.Request, status int, fields ...any) {
	if a.access == nil {
		return
	}
	user := ""
	if repl, ok := logged.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		user, _ = repl.GetString("http.auth.user.id")
	}
	for _, name := range names {
		write := a.access(name).Infow
		if status >= http.StatusInternalServerError {
			write = a.access(name).Errorw
		}
		write("handled request", append([]any{"request", caddyhttp.LoggableHTTPRequest{Request: logged}, "user_id", user, "status", status}, fields...)...)
	}
}

// accessWriter writes lines of an access log.
type accessWriter interface {
	Infow(message string, keysAndValues ...any)
	Errorw(message string, keysAndValues ...any)
}

// newAccessLog returns what returns the loggers of access logs by name, as caddyhttp.App makes them for its servers.
func newAccessLog(ctx caddy.Context) func(name string) accessWriter {
	log := ctx.Logger(new(caddyhttp.App)).Named("log.access")
	return func(name string) accessWriter { return log.Named(name).Sugar() }
}
