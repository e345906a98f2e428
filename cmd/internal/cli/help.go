package cli

import (
	_ "embed"
	"io"
	"strings"

	docs "github.com/urfave/cli-docs/v3"
	"github.com/urfave/cli/v3"
)

//go:embed help.tmpl
var helpTemplate string

// manTemplate is Markdown, which the library's docs module turns into roff.
//
//go:embed man.tmpl
var manTemplate string

// man prints the manual page.
func man(c *cli.Command) error {
	docs.MarkdownDocTemplate = manTemplate
	page, err := docs.ToMan(c)
	if err == nil {
		_, err = io.WriteString(c.Writer, page)
	}
	return err
}

// Markdown escapes the characters of s that have a meaning in Markdown.
func (Program) Markdown(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "`", "\\`", "|", `\|`, "<", `\<`, "[", `\[`, "]", `\]`).Replace(s)
}
