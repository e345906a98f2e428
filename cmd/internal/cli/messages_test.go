package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../../.."

// Whatever the programs may log is in the tables of docs/operations.md, with its fields:
// scripts rely on both.
func TestMessagesAreDocumented(t *testing.T) {
	documented := documentedMessages(t)
	found := 0
	for _, dir := range []string{"cmd/scout", "cmd/scoutmaster", "cmd/internal/cli", "cmd/internal/debughttp", "cmd/internal/logging", "cmd/internal/systemd", "internal"} {
		for _, m := range loggedMessages(t, filepath.Join(root, dir)) {
			found++
			lines, ok := documented[m.text]
			if !ok {
				t.Errorf("%s: docs/operations.md does not have the message %q", m.at, m.text)
			}
			for _, field := range m.fields {
				if ok && !slices.ContainsFunc(lines, func(line string) bool { return hasWord(line, field) }) {
					t.Errorf("%s: docs/operations.md does not have the field %s of %q", m.at, field, m.text)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d messages were found in the code", found)
	}
}

// documentedMessages returns, for each message, the lines of docs/operations.md about it.
func documentedMessages(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, logs, _ := strings.Cut(string(page), "\n## Logs\n")
	logs, _, _ = strings.Cut(logs, "\n## ")
	messages := map[string][]string{}
	for line := range strings.Lines(logs) {
		for _, quoted := range regexp.MustCompile("`[a-z ]+`").FindAllString(line, -1) {
			text := strings.Trim(quoted, "`")
			messages[text] = append(messages[text], line)
		}
	}
	return messages
}

func hasWord(line, word string) bool {
	return regexp.MustCompile(`\b` + word + `\b`).MatchString(line)
}

type message struct {
	text   string
	fields []string
	at     token.Position
}

// loggedMessages finds the calls that log a constant in the code below dir.
func loggedMessages(t *testing.T, dir string) (all []message) {
	t.Helper()
	set := token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, fields, ok := logs(n); ok {
				all = append(all, message{text, fields, set.Position(n.Pos())})
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// logs tells what a call logs, if it is one that does.
func logs(n ast.Node) (text string, fields []string, ok bool) {
	call, callee := calls(n)
	if !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log", "warn"}, callee) {
		return "", nil, false
	}
	args := call.Args
	if callee == "Log" && len(args) > 0 {
		args = args[1:]
	}
	if len(args) == 0 {
		return "", nil, false
	}
	if text, ok = constant(args[0]); !ok {
		return "", nil, false
	}
	for _, arg := range args[1:] {
		fields = append(fields, fieldOf(arg)...)
	}
	return text, fields, true
}

// fieldOf returns the name of the field that zap makes, if arg says it itself.
func fieldOf(arg ast.Expr) []string {
	call, callee := calls(arg)
	if call == nil || len(call.Args) == 0 {
		return nil
	}
	if name, ok := constant(call.Args[0]); ok {
		return []string{name}
	}
	if callee == "Error" {
		return []string{"error"}
	}
	return nil
}

// calls returns a call of a method or of a package's function, and its name.
func calls(n ast.Node) (*ast.CallExpr, string) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return nil, ""
	}
	if callee, ok := call.Fun.(*ast.SelectorExpr); ok {
		return call, callee.Sel.Name
	}
	return call, ""
}

func constant(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}
