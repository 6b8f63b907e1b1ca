package module

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
)

// readSecrets reads the master keys of the option `secret`. Its errors name one cause each. They advise to make a new key only
// while there is no database: one that replaces the key of a database makes the database unreadable.
func (a *App) readSecrets() error {
	a.secrets = secrets{keyFile: DefaultKeyFile()}
	if len(a.Secret) == 0 {
		if s, ok := a.storage.(SharedStorage); ok && s.DemandsSecret() {
			return errors.New("secret: this storage needs one, because a key file on this machine is none beside a database that others reach: " +
				"write secret {env.EMAIL_LINK_SECRET} or secret {file./path}, with 32 random bytes in it, for example from 'openssl rand -base64 32'")
		}
		return nil
	}
	values := make([]string, len(a.Secret))
	for i, s := range a.Secret {
		value, advice, err := readSecret(s)
		if err != nil {
			if advice == "" {
				advice = a.secretAdvice()
			}
			return fmt.Errorf("secret: value %d of %d: %w; %s", i+1, len(a.Secret), err, advice)
		}
		values[i] = value
	}
	masters, err := keyring.ParseMasters(values)
	if err != nil {
		return fmt.Errorf("%w; %s", err, a.secretAdvice())
	}
	a.secrets.masters = masters
	return nil
}

// secretAdvice returns what to do about a key that is missing or is no key.
func (a *App) secretAdvice() string {
	if s, ok := a.storage.(*StorageBbolt); ok {
		if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
			return "write 32 random bytes into it, for example with 'openssl rand -base64 32'"
		}
	}
	if _, ok := a.storage.(SharedStorage); ok {
		return "write the key that the database was made with into it; for a new database 32 random bytes, for example with " +
			"'openssl rand -base64 32'"
	}
	return "put back the key that the database was made with: no other opens it"
}

// readSecret resolves one value of `secret`. The advice is empty where the error is that the key is missing.
func readSecret(s string) (value, advice string, err error) {
	path, isFile := placeholder(s, "file")
	name, isEnv := placeholder(s, "env")
	switch {
	case isFile:
		return readSecretFile(path)
	case !isEnv:
		value, err = expand(s)
		return value, "", err
	}
	value, err = readVariable(name)
	return value, "", err
}

// readVariable reads a variable of the environment, which must not be empty.
func readVariable(name string) (string, error) {
	value, set := os.LookupEnv(name)
	switch {
	case !set:
		return "", fmt.Errorf("the environment variable %s is not set where Caddy runs", name)
	case strings.TrimSpace(value) == "":
		return "", fmt.Errorf("the environment variable %s is empty", name)
	}
	return value, nil
}

// readSecretFile reads the file of a {file.*} placeholder, of which Caddy's replacer would only say that it is empty.
func readSecretFile(path string) (value, advice string, err error) {
	content, err := os.ReadFile(path) //nolint:gosec // the path is the operator's
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "", fmt.Errorf("the file %s does not exist", path)
	case errors.Is(err, fs.ErrPermission):
		return "", keyring.ReadableAdvice(path), fmt.Errorf("the file %s cannot be read: %w", path, fs.ErrPermission)
	case err != nil:
		if at := (*fs.PathError)(nil); errors.As(err, &at) {
			err = at.Err // without the path, which stands before it
		}
		return "", "name the file that holds the key, and see that this user can read it", fmt.Errorf("the file %s cannot be read: %w", path, err)
	case strings.TrimSpace(string(content)) == "":
		return "", "", fmt.Errorf("the file %s is empty", path)
	}
	return string(content), "", nil
}

// placeholder returns the name in a text that is one placeholder of a kind, such as {env.NAME}.
func placeholder(s, kind string) (name string, ok bool) {
	name, ok = strings.CutPrefix(s, "{"+kind+".")
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(name, "}")
	return name, ok && name != "" && !strings.ContainsAny(name, "{}")
}
