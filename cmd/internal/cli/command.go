package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"scout/cmd/internal/version"
)

const (
	completionMarker = "--generate-shell-completion"      // the last argument when a shell asks for completions
	unknownFlag      = "flag provided but not defined: -" // begins the library's error
)

// command is the program as the library runs it. All flags are set when action
// is called. words are the program's arguments.
func (p Program) command(words []string, out io.Writer, action func() error) *cli.Command {
	c := &cli.Command{
		Name: p.Name, Usage: p.Summary, Description: strings.TrimSpace(p.Description), Version: version.String(),
		UsageText: strings.Join(strings.Fields(p.Name+" "+p.Synopsis+" [flags]"), " "),
		Commands: []*cli.Command{
			{Name: "version", Usage: "print the version", Action: func(_ context.Context, c *cli.Command) error { cli.ShowVersion(c); return nil }},
			{Name: "man", Usage: "print the manual page, for man -l or a file", Action: func(_ context.Context, c *cli.Command) error { return man(c.Root()) }},
		},
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: p.configureCompletion,
		ShellComplete:                   func(_ context.Context, c *cli.Command) { p.suggest(c.Root().Writer, words) },
		CustomRootCommandHelpTemplate:   helpTemplate,
		Metadata:                        map[string]any{"program": p},
		Writer:                          out,
		ErrWriter:                       io.Discard,
		OnUsageError:                    func(_ context.Context, _ *cli.Command, err error, _ bool) error { return err },
		ExitErrHandler:                  func(context.Context, *cli.Command, error) {},
	}
	all := make([]*parsed, len(p.Flags))
	for i, f := range p.Flags {
		all[i] = &parsed{Flag: f, source: "flag -" + f.Name}
		c.Flags = append(c.Flags, all[i].library())
	}
	c.Action = func(_ context.Context, c *cli.Command) error {
		if c.Args().Present() {
			return fmt.Errorf("argument %q belongs to no flag: remove it; see %s -help", c.Args().First(), p.Name)
		}
		for _, f := range all {
			if err := f.finish(*p.probing); err != nil {
				return err
			}
		}
		if p.Check != nil && !*p.probing {
			if err := p.Check(); err != nil {
				return err
			}
		}
		return action()
	}
	return c
}

func init() {
	cli.HelpPrinter = func(w io.Writer, text string, data any) {
		cli.HelpPrinterCustom(w, text, data, map[string]any{"wrapAt": func() int { return 80 }})
	}
	cli.VersionPrinter = func(c *cli.Command) {
		_, _ = fmt.Fprintln(c.Root().Writer, version.Line(c.Root().Name))
	}
}

// execute reads the command line and calls action, unless the command line asks
// for something else than to run the program. Every error is about the command
// line or the environment, except those of action.
func (p Program) execute(args []string, out io.Writer, action func() error) error {
	err := p.command(args, out, action).Run(context.Background(), append([]string{p.Name}, p.normalize(args)...))
	if err != nil && strings.HasPrefix(err.Error(), unknownFlag) {
		return fmt.Errorf("flag %q is unknown: see %s -help for the flags that it has", err.Error()[len(unknownFlag)-1:], p.Name)
	}
	return err
}

// Parse sets the flags from a command line, without the program's name, and the
// environment. [Main] does the same before it runs the program.
func (p Program) Parse(args []string) error {
	return p.complete(new(logOptions), false).execute(args, io.Discard, func() error { return nil })
}

// normalize writes every flag as -name=value. The library would take the value
// of an on/off flag for a stray argument, and a flag without a value would take
// the next flag for its value. Commands may have dashes, as flags have.
func (p Program) normalize(args []string) (normal []string) {
	if len(args) > 0 && args[len(args)-1] == completionMarker {
		return args
	}
	if len(args) > 0 {
		command := strings.SplitN(strings.TrimLeft(args[0], "-"), "=", 2)
		if command[0] == "man" || command[0] == "completion" {
			args = append(command, args[1:]...)
		}
	}
	for len(args) > 0 && args[0] != "--" {
		f, bare := p.flagOf(args[0])
		n := 1
		switch {
		case f == nil:
			bare = args[0]
		case strings.Contains(bare, "="):
			bare = "-" + bare
		case f.OnOff() && (len(args) == 1 || args[1] != "true" && args[1] != "false"):
			bare = "-" + bare + "=true"
		case len(args) == 1 || p.isFlag(args[1]):
			bare = "-" + bare + "="
		default:
			bare, n = "-"+bare+"="+args[1], 2
		}
		normal, args = append(normal, bare), args[n:]
	}
	return append(normal, args...)
}

// flagOf returns the flag that an argument names, or nil, and the argument
// without its dashes.
func (p Program) flagOf(arg string) (f *Flag, bare string) {
	bare = strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-")
	name, _, _ := strings.Cut(bare, "=")
	i := slices.IndexFunc(p.Flags, func(f Flag) bool { return f.Name == name })
	if i < 0 || bare == arg {
		return nil, bare
	}
	return &p.Flags[i], bare
}

func (p Program) isFlag(arg string) bool {
	f, _ := p.flagOf(arg)
	return f != nil
}
