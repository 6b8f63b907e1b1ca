// Command dialect lists declared identifiers that are named by a word of this project's old private language, prints how many
// there are, and fails when there are any. Names use the words of RFCs, of the Go standard library and of other programs of the
// kind: see CONTRIBUTING.md.
//
//	go run ./scripts/dialect [-allow <n>] [<folder>]
//
// With -allow it fails only above a number, so that what is left can go step by step and nothing new comes in.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// words are those that a declared identifier may not have as one of its parts ("errMoved" has the parts err and moved), each with
// what to write instead.
var words = map[string]string{
	"asked":     "requested, result",
	"asker":     "requester",
	"bear":      "create",
	"born":      "created",
	"bury":      "deadLetter",
	"buried":    "deadLettered",
	"cheap":     "offline",
	"dear":      "costly",
	"dearest":   "costliest",
	"discreet":  "redacted",
	"disobey":   "warnRejected",
	"handover":  "handoff",
	"hear":      "extract",
	"heard":     "extracted",
	"held":      "current",
	"judge":     "validate, authorize, classify",
	"judged":    "validated, authorized, classified",
	"judgement": "classification",
	"kept":      "history, stored",
	"letter":    "message",
	"letters":   "messages",
	"living":    "active",
	"minted":    "issued",
	"moment":    "time",
	"moments":   "times",
	"nobody":    "none",
	"obey":      "handle",
	"revive":    "requeue",
	"stranger":  "unknown",
	"strangers": "unknown",
	"tell":      "report",
	"timely":    "acceptable",
	"told":      "notified",
	"took":      "duration",
	"unheard":   "ignored",
	"vouch":     "authorize",
	"whoever":   "any",
	"why":       "reason",
}

// verbs are words that name no act. Only the first part of a function's or a method's name is compared with them.
var verbs = map[string]string{
	"take": "extract, consume, spend, acquire",
	"know": "readSnapshot",
}

// nouns are words that are everybody's. Only a whole name of a type, a function, a field or a package-level declaration is
// compared with them: "path.place" says nothing, a local variable "place" may.
var nouns = map[string]string{
	"room":   "buffers",
	"way":    "method",
	"place":  "position",
	"state":  "the noun that it is the state of",
	"people": "session",
	"person": "userSession",
	"old":    "previous",
	"early":  "preCheck",
	"good":   "valid",
	"quiet":  "limiter",
	"bare":   "unprotected",
	"gone":   "deleted",
}

// exceptions are names that keep such a word, with the reason. A name is that of the declaration, with its package's folder.
var exceptions = map[string]string{
	"storage Flow.State":                   "a flow has states: open, redeemed, cancelled",
	"internal/flow Handoff.State":          "state is OAuth's word for what an app gets back",
	"internal/flow StartInput.State":       "OAuth's word",
	"internal/flow appFlow.State":          "OAuth's word",
	"internal/flow handoffWire.State":      "OAuth's word",
	"identity Identity.State":              "OAuth's word, part of the public API",
	"identity Start.State":                 "OAuth's word, part of the public API",
	"identity wire.State":                  "the member of the JSON",
	"identity startWire.State":             "the member of the JSON",
	"templates Confirm.Asked":              "operators' own templates name it",
	"templates ConfirmCancel.Asked":        "operators' own templates name it",
	"templates ConfirmAddress.Asked":       "operators' own templates name it, as those of the other two",
	"templates Mail.Asked":                 "operators' own templates name it",
	"internal/operator Mail.State":         "the member of the JSON: a mail waits or is dead",
	"internal/operator MachineToken.State": "the member of the JSON",
	"internal/address letters":             "letters of an alphabet",
	"internal/bench bench.bare":            "the program that is bare Caddy, beside full",
	"internal/web/preview state":           "the states of a page: what its preview shows",
	"module respWriter.state":              "what the write side of a response has reached",
}

type finding struct {
	name, instead string
	at            token.Position
}

func main() {
	allow := flag.Int("allow", 0, "how many there may be")
	flag.Parse()
	root := cmp.Or(flag.Arg(0), ".")
	findings, err := scan(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "dialect:", err)
		os.Exit(2)
	}
	for _, f := range findings {
		fmt.Fprintf(os.Stdout, "%s: %s: write %s\n", f.at, f.name, f.instead)
	}
	fmt.Fprintf(os.Stdout, "dialect: %d declared identifiers\n", len(findings))
	if len(findings) > *allow {
		os.Exit(1)
	}
}

// scan returns what it finds in the Go files below root, test files excepted: their helpers speak to their own file.
func scan(root string) ([]finding, error) {
	var findings []finding
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name != "." && strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		ast.Inspect(file, (&visitor{fset: fset, folder: filepath.ToSlash(folder), add: func(f finding) { findings = append(findings, f) }}).visit)
		return nil
	})
	slices.SortFunc(findings, func(a, b finding) int {
		return cmp.Or(strings.Compare(a.at.Filename, b.at.Filename), cmp.Compare(a.at.Offset, b.at.Offset))
	})
	return findings, err
}

// visitor looks at each declaration of one file.
type visitor struct {
	fset   *token.FileSet
	folder string
	add    func(finding)
	// owner is the type whose fields or methods are being visited.
	owner string
}

func (v *visitor) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		v.owner = ""
		if n.Recv != nil && len(n.Recv.List) == 1 {
			v.owner = typeName(n.Recv.List[0].Type)
		}
		v.check(n.Name, true, true)
		v.owner = ""
	case *ast.TypeSpec:
		v.owner = ""
		v.check(n.Name, true, false)
		v.owner = n.Name.Name
	case *ast.InterfaceType:
		v.fields(n.Methods, true)
	case *ast.StructType:
		v.fields(n.Fields, false)
	case *ast.ValueSpec:
		v.idents(n.Names)
	case *ast.FuncType:
		for _, list := range []*ast.FieldList{n.Params, n.Results} {
			if list != nil {
				for _, field := range list.List {
					v.idents(field.Names)
				}
			}
		}
	case *ast.AssignStmt:
		if n.Tok == token.DEFINE {
			for _, left := range n.Lhs {
				if id, ok := left.(*ast.Ident); ok {
					v.idents([]*ast.Ident{id})
				}
			}
		}
	case *ast.RangeStmt:
		if n.Tok == token.DEFINE {
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok {
					v.idents([]*ast.Ident{id})
				}
			}
		}
	}
	return true
}

func (v *visitor) fields(list *ast.FieldList, methods bool) {
	for _, field := range list.List {
		for _, id := range field.Names {
			v.check(id, true, methods)
		}
	}
}

func (v *visitor) idents(ids []*ast.Ident) {
	owner := v.owner
	v.owner = ""
	for _, id := range ids {
		v.check(id, false, false)
	}
	v.owner = owner
}

// check reports an identifier. whole is set for names that others use, callable for functions and methods.
func (v *visitor) check(id *ast.Ident, whole, callable bool) {
	name := id.Name
	if v.owner != "" {
		name = v.owner + "." + name
	}
	if _, ok := exceptions[v.folder+" "+name]; ok {
		return
	}
	parts := split(strings.ReplaceAll(id.Name, "DeadLetter", "")) // a dead letter is a term of queues
	if len(parts) == 0 {
		return
	}
	instead := ""
	for _, part := range parts {
		instead = cmp.Or(instead, words[part])
	}
	if callable {
		instead = cmp.Or(instead, verbs[parts[0]])
	}
	if whole && len(parts) == 1 {
		instead = cmp.Or(instead, nouns[parts[0]])
	}
	if instead != "" {
		v.add(finding{name, instead, v.fset.Position(id.Pos())})
	}
}

// split returns the lower-case words of a name in mixed caps.
func split(name string) []string {
	var parts []string
	start := 0
	runes := []rune(name)
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || unicode.IsUpper(runes[i]) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			parts = append(parts, strings.ToLower(string(runes[start:i])))
			start = i
		}
	}
	return parts
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
