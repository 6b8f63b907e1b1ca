package module

import "fmt"

// Source is where a part of the configuration is written, for errors and warnings. The Caddyfile adapter fills it in; JSON
// that is written by hand needs none.
//
// A line is written `Caddyfile:12`, and `snippets:3 (from Caddyfile:9 (import gate))` where it came in by an import.
type Source struct {
	// At is the line of the directive. Default: unknown.
	At string `json:"at,omitempty"`
	// Options holds the lines of each option, by the option's name, such as `public`, `require role` or `identity key`.
	// Default: unknown.
	Options map[string][]string `json:"options,omitempty"`
}

// orSite returns s, or for a configuration without lines, as JSON that is written by hand, one that names the site in their place.
func (s *Source) orSite(title string) *Source {
	if s.line("") != "" {
		return s
	}
	named := &Source{At: "the site " + title}
	if s != nil {
		named.Options = s.Options
	}
	return named
}

// line returns the first line of an option, the directive's own where the option has none, and an empty one where nothing is
// known.
func (s *Source) line(option string) string {
	if s == nil {
		return ""
	}
	if lines := s.Options[option]; len(lines) > 0 {
		return lines[0]
	}
	return s.At
}

// lines returns all lines of an option.
func (s *Source) lines(option string) []string {
	if s == nil {
		return nil
	}
	return s.Options[option]
}

// nth returns the n-th line of an option, and the first where there are not so many; the directive's own where the option has none.
func (s *Source) nth(option string, n int) string {
	if s != nil && n < len(s.Options[option]) {
		return s.Options[option][n]
	}
	return s.line(option)
}

// prefix is what an error or a warning about an option begins with.
func (s *Source) prefix(option string) string { return s.prefixNth(option, 0) }

// prefixNth is prefix for the n-th line of an option.
func (s *Source) prefixNth(option string, n int) string {
	if line := s.nth(option, n); line != "" {
		return line + ": email_link"
	}
	return "email_link"
}

// wrap puts the line of an option before an error. An empty option means the directive itself.
func (s *Source) wrap(option string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", s.prefix(option), err)
}

// name names the directive in an error about another one.
func (s *Source) name() string {
	if line := s.line(""); line != "" {
		return line
	}
	return "the site"
}
