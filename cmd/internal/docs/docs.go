// Package docs writes the generated sections of the documents, and proves that
// they are current. It is for tests only; with -update they write, else they
// compare.
package docs

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"scout/cmd/internal/cli"
)

var update = flag.Bool("update", false, "write the generated sections of the documents")

// Section compares the section of that name in a document with content, or
// writes it. In the document it stands between two comments:
//
//	<!-- generated: NAME -->
//	<!-- end -->
func Section(t *testing.T, document, name, content string) {
	t.Helper()
	old, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(`(?s)(<!-- generated: ` + regexp.QuoteMeta(name) + ` -->\n).*?(<!-- end -->)`)
	if n := len(section.FindAll(old, -1)); n != 1 {
		t.Fatalf("%s has %d sections %q", document, n, name)
	}
	current := section.ReplaceAllFunc(old, func(found []byte) []byte {
		m := section.FindSubmatch(found)
		return []byte(string(m[1]) + content + string(m[2]))
	})
	switch {
	case bytes.Equal(current, old):
	case !*update:
		t.Errorf("section %q of %s is not current: run make docs", name, document)
	default:
		if err := os.WriteFile(document, current, 0o644); err != nil { //nolint:gosec // everybody may read documents
			t.Fatal(err)
		}
	}
}

// Table is a table of Markdown.
func Table(header []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	b.WriteString("|" + strings.Repeat(" --- |", len(header)) + "\n")
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// Flags is a table of a program's flags.
func Flags(p cli.Program) string {
	var rows [][]string
	for _, f := range p.AllFlags() {
		shown := f.DefaultText
		switch shown {
		case "":
			shown = "none"
			if f.Required {
				shown = "required"
			}
		case f.Default:
			shown = "`" + shown + "`"
		}
		usage := p.Markdown(f.Usage)
		if f.Split != nil {
			usage += "; repeatable"
		}
		rows = append(rows, []string{"`" + f.Syntax() + "`", "`" + f.Env + "`", shown, usage})
	}
	return Table([]string{"flag", "environment", "default", "meaning"}, rows)
}
