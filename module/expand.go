package module

import (
	"cmp"
	"fmt"
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
	text, err := caddy.NewReplacer().ReplaceOrErr(s, true, true)
	if err != nil {
		return "", explainPlaceholder(s, err)
	}
	return text, nil
}

// explainPlaceholder words the error of a text that is one placeholder of the environment or of a file: of either Caddy says only that it is
// empty.
func explainPlaceholder(s string, err error) error {
	if name, ok := placeholder(s, "env"); ok {
		if _, cause := readVariable(name); cause != nil {
			return fmt.Errorf("%w: set it in the environment that Caddy is started with, for example by EnvironmentFile= of its unit", cause)
		}
	}
	if path, ok := placeholder(s, "file"); ok {
		if _, advice, cause := readSecretFile(path); cause != nil {
			return fmt.Errorf("%w; %s", cause, cmp.Or(advice, "write the value into it"))
		}
	}
	return err
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
