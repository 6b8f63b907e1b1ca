package module_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestCFG1_DocumentsHold validates each Caddyfile in the documents that is a whole site.
func TestCFG1_DocumentsHold(t *testing.T) {
	fence := regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```")
	address := regexp.MustCompile(`^(?:https?://)?[a-z0-9.:*-]*[.:][a-z0-9.:*-]* \{`)
	for _, file := range []string{"../docs/apps.md", "../docs/reference.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
			config := m[1]
			switch {
			case strings.HasPrefix(config, "{\n"):
			case address.MatchString(config):
				config = strings.Replace(global, "scopes files", "scopes files calendar", 1) + config
			default:
				continue // a part of a site
			}
			found++
			if _, err := provisioned(t, strings.ReplaceAll(config, "{env.SMTP_PASSWORD}", "secret")); err != nil {
				t.Errorf("%s: %v\n%s", file, err, m[1])
			}
		}
		if found == 0 {
			t.Errorf("%s: no site found", file)
		}
	}
}
