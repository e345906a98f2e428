package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// suggest prints the words that may follow: flags after a dash, the choices of
// a flag after its name, else commands and flags. It prints nothing where any
// value may follow; shells then complete paths. words are the words before the
// cursor, and the current one if it begins with a dash.
func (p Program) suggest(w io.Writer, words []string) {
	last := ""
	if words = words[:len(words)-1]; len(words) > 0 { // without the marker
		last = words[len(words)-1]
	}
	f, prefix := p.flagOf(last)
	if f != nil {
		_, _ = fmt.Fprintln(w, strings.Join(f.Choices, "\n"))
		return
	}
	dashes := last[:len(last)-len(prefix)]
	if dashes == "" { // the current word is empty or no flag
		dashes, prefix = "-", ""
	}
	if last == "" {
		_, _ = fmt.Fprint(w, "help:print this help\nversion:print the version\nman:print the manual page\ncompletion:print the completion for a shell\n")
	}
	for _, f := range append(slices.Clone(p.Flags), Flag{Name: "help", Usage: "print this help"}, Flag{Name: "version", Usage: "print the version"}) {
		if strings.HasPrefix(f.Name, prefix) {
			_, _ = fmt.Fprintf(w, "%s%s:%s\n", dashes, f.Name, f.Usage)
		}
	}
}

// configureCompletion shows the library's command in the help, and adds to its
// scripts.
func (p Program) configureCompletion(c *cli.Command) {
	c.Hidden = false
	c.Usage = "print a completion script: completion bash, zsh or fish"
	c.Action = func(_ context.Context, c *cli.Command) error {
		return fmt.Errorf("completion: %q is none of bash, zsh, fish", c.Args().First())
	}
	for _, shell := range c.Commands {
		script := shell.Action
		shell.Action = func(ctx context.Context, c *cli.Command) error {
			if err := script(ctx, c); err != nil {
				return err
			}
			return p.completionExtra(c.Root().Writer, c.Name)
		}
	}
}

// completionExtra lets bash work without the package bash-completion, and fish
// complete paths.
func (p Program) completionExtra(w io.Writer, shell string) (err error) {
	if shell == "bash" {
		_, err = fmt.Fprint(w, "\ndeclare -F _get_comp_words_by_ref >/dev/null || _get_comp_words_by_ref() { :; }\n")
	}
	for _, f := range p.Flags {
		if shell == "fish" && (f.Value == "DIR" || f.Value == "FILE") {
			_, err = fmt.Fprintf(w, "complete -c %s -o %[2]s -l %[2]s -r -F\n", p.Name, f.Name)
		}
	}
	return err
}
