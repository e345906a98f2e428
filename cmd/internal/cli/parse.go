package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"
)

// given is what a command line says: the values of each flag that is on it,
// in order and not yet parsed.
type given map[string][]string

// on reports whether an on/off flag was given.
func (g given) on(name string) bool {
	values := g[name]
	return len(values) > 0 && values[len(values)-1] != "false"
}

// scan takes a command line apart, as join returns it.
//
// The parser only collects: it would stop at the first bad value with an
// error that has lost its type, and would split values at commas.
func (p Program) scan(args []string) (given, error) {
	g := given{}
	command := &cli.Command{
		Name:           p.Name,
		Flags:          p.parserFlags(g),
		HideHelp:       true,
		HideVersion:    true,
		Writer:         io.Discard,
		ErrWriter:      io.Discard,
		OnUsageError:   func(_ context.Context, _ *cli.Command, err error, _ bool) error { return err },
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return fmt.Errorf("argument %q belongs to no flag: remove it; see %s -help", c.Args().First(), p.Name)
			}
			return nil
		},
	}
	if err := command.Run(context.Background(), append([]string{p.Name}, args...)); err != nil {
		return nil, p.explain(err)
	}
	return g, nil
}

func (p Program) parserFlags(g given) []cli.Flag {
	flags := []cli.Flag{&cli.GenericFlag{Name: "h", Value: collector{g, helpFlag}}}
	for _, f := range p.allFlags() {
		flags = append(flags, &cli.GenericFlag{Name: f.Name, Value: collector{g, f.Name}})
	}
	return flags
}

// collector is the parser's idea of a flag's value.
type collector struct {
	given given
	name  string
}

func (c collector) Set(value string) error {
	c.given[c.name] = append(c.given[c.name], value)
	return nil
}

func (c collector) Get() any       { return c.given[c.name] }
func (c collector) String() string { return "" }

// explain turns the parser's error for an unknown flag into one that names
// the cure. It has no others: join gives every flag a value, if an empty one.
func (p Program) explain(err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err
	}
	var known []string
	for _, f := range p.Flags {
		known = append(known, "-"+f.Name)
	}
	return fmt.Errorf("flag %q is unknown: the flags are %s; see %s -help", "-"+name, strings.Join(known, ", "), p.Name)
}

// join brings every flag on the command line into the form -name=value, so
// that an on/off flag may have its value in an argument of its own, like all
// others; the parser would take that for a stray argument.
func (p Program) join(args []string) []string {
	var joined []string
	for len(args) > 0 && args[0] != "--" {
		arg, n := p.joinFirst(args)
		joined = append(joined, arg)
		args = args[n:]
	}
	return append(joined, args...)
}

// joinFirst returns the first flag joined with its value, and how many
// arguments that were. What is no flag is returned as it is.
func (p Program) joinFirst(args []string) (string, int) {
	f, bare, ok := p.flagOf(args[0])
	switch {
	case !ok:
		return args[0], 1
	case strings.Contains(bare, "="):
		return "-" + bare, 1
	case f.onOff() && len(args) > 1 && (args[1] == "true" || args[1] == "false"):
		return "-" + bare + "=" + args[1], 2
	case f.onOff():
		return "-" + bare + "=true", 1
	case len(args) == 1 || p.isFlag(args[1]):
		return "-" + bare + "=", 1
	default:
		return "-" + bare + "=" + args[1], 2
	}
}

// flagOf returns the flag that an argument names, and the argument without
// its dashes.
func (p Program) flagOf(arg string) (f Flag, bare string, ok bool) {
	bare = strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-")
	name, _, _ := strings.Cut(bare, "=")
	f = p.flag(name)
	return f, bare, bare != arg && f.Name != ""
}

func (p Program) isFlag(arg string) bool {
	_, _, ok := p.flagOf(arg)
	return ok
}

// flag finds a flag by its name. The zero Flag is no flag.
func (p Program) flag(name string) Flag {
	if name == "h" {
		return Flag{Name: name}
	}
	for _, f := range p.allFlags() {
		if f.Name == name {
			return f
		}
	}
	return Flag{}
}

// Parse fills the flags' targets from a command line, without the program's
// name, and an environment. It is what [Main] does before it runs the program.
func (p Program) Parse(args []string, getenv func(string) string) error {
	given, err := p.scan(p.join(args))
	if err != nil {
		return err
	}
	return p.fill(given, getenv)
}
