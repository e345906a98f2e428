package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
)

// Flag is an option of a program. It is given on the command line as -name
// value, --name value or -name=value, or by an environment variable.
type Flag struct {
	Name  string
	Env   string // the variable; empty: the program's prefix and the name, "-" as "_"
	Value string // the name of the value in the help; empty: an on/off flag
	Usage string // one line, without a capital or a full stop

	// Choices are all possible values, which shells complete; nil: any value.
	// Shells complete values called DIR or FILE as paths.
	Choices []string

	// Default is the value, as a user would type it, if none is given. The help
	// shows DefaultText instead, if there is one.
	Default     string
	DefaultText string

	// Required refuses to start without a value.
	Required bool

	// Once, if not empty, refuses the flag if it is given twice, and says what to
	// do instead. Of other flags the last value counts.
	Once string

	// Split splits the variable's value if the flag is repeatable.
	Split func(string) []string

	// Set parses a value and keeps it. The value is not empty. Errors need not
	// name the flag.
	Set func(string) error
}

// To is the Set of a flag that keeps its value in target.
func To[T any](target *T, parse func(string) (T, error)) func(string) error {
	return func(s string) error {
		v, err := parse(s)
		if err == nil {
			*target = v
		}
		return err
	}
}

// Duration parses a span of time of at least a millisecond.
func Duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 500ms, 1s or 2m", s)
	}
	if d < time.Millisecond {
		return 0, fmt.Errorf("%q is too short: give at least 1ms", s)
	}
	return d, nil
}

// OnOff parses the value of an on/off flag.
func OnOff(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "t", "yes", "on":
		return true, nil
	case "false", "0", "f", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", s)
}

// OnOff reports whether the flag is true or false.
func (f Flag) OnOff() bool { return f.Value == "" }

// Syntax is the flag and its value, as the help shows them.
func (f Flag) Syntax() string { return strings.TrimSpace("-" + f.Name + " " + f.Value) }

// parsed is a flag while the library reads the command line and the
// environment. It implements the library's Value.
type parsed struct {
	Flag
	source string // of the next value
	given  int    // values
	err    error  // the first one
}

// library is the flag as the library knows it.
func (p *parsed) library() cli.Flag {
	return &cli.GenericFlag{
		Name: p.Name, Usage: p.Usage, DefaultText: p.DefaultText, Value: p,
		Sources: cli.NewValueSourceChain(variable{cli.EnvVar(p.Env), p}),
	}
}

// variable is a flag's environment variable.
type variable struct {
	cli.ValueSource
	flag *parsed
}

// Lookup is called unless the flag is on the command line. The library takes an
// empty variable for unset.
func (v variable) Lookup() (string, bool) {
	v.flag.source = "environment variable " + v.flag.Env
	return v.ValueSource.Lookup()
}

// Set keeps its error for finish, because the library would only keep the
// error's text.
func (p *parsed) Set(text string) error {
	values := []string{text}
	if p.Split != nil && p.source != "flag -"+p.Name {
		values = p.Split(text)
	}
	for _, value := range values {
		if p.err == nil {
			p.err = p.set(value)
		}
	}
	return nil
}

func (p *parsed) set(value string) error {
	p.given++
	switch {
	case value == "":
		return fmt.Errorf("%s: no value: give %s", p.source, cmp.Or(p.Value, "true or false"))
	case p.Once != "" && p.given > 1:
		return fmt.Errorf("%s is given twice: %s", p.source, p.Once)
	}
	if err := p.Flag.Set(value); err != nil {
		return fmt.Errorf("%s: %w", p.source, err)
	}
	return nil
}

// finish sets the default if no value was given, and returns the first error. A probe
// needs no required flag.
func (p *parsed) finish(probing bool) error {
	switch {
	case p.given == 0 && p.Default != "":
		p.source = "default of flag -" + p.Name
		p.err = p.set(p.Default)
	case p.given == 0 && p.Required && !probing:
		return fmt.Errorf("flag -%s is missing: give %s or set %s (%s)", p.Name, p.Syntax(), p.Env, p.Usage)
	}
	return p.err
}

func (p *parsed) Get() any       { return p.Flag }
func (p *parsed) String() string { return "" }
