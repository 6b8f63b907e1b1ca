package module

import (
	"net"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
)

// expand resolves the placeholders of a configured text, such as {env.X} and {file.X}. An unknown or empty one is an error.
// It is never used on anything that a request or an account holds.
func expand(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return caddy.NewReplacer().ReplaceOrErr(s, true, true)
}

// canonicalPath returns one spelling of a path, whether or not the file exists yet.
func canonicalPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for dir := abs; ; {
		real, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !os.IsNotExist(err) {
			return "", err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return abs, nil
		}
		rest, dir = filepath.Join(filepath.Base(dir), rest), parent
	}
}

func hostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && host != "" && port != ""
}
