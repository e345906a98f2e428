package cli

import (
	"fmt"
	"strings"
)

// Flag is one thing that a program can be told: on its command line as
// -name value, --name value or -name=value, or by an environment variable.
type Flag struct {
	Name  string
	Env   string // the variable; empty: the program's prefix and the name, "-" as "_"
	Value string // what the help calls the value; empty: an on/off flag
	Usage string // what it means, without a capital or a full stop

	// Choices are all values that there are, for shells to complete; nil: any.
	// Values called DIR or FILE are completed as such.
	Choices []string

	// Default is used when nothing is given, in the words that a user would
	// type. DefaultText, if any, is what the help says of it.
	Default     string
	DefaultText string

	// Required refuses to start when there is neither a value nor a default.
	Required bool

	// Split takes the variable's value apart when the flag is repeatable.
	Split func(string) []string

	// Set parses a value and keeps it. Of several values of a flag that is not
	// repeatable the last counts. The value is never empty, and errors need
	// not name the flag.
	Set func(string) error
}

// To is the Set of a flag whose value is kept in target.
func To[T any](target *T, parse func(string) (T, error)) func(string) error {
	return func(s string) error {
		v, err := parse(s)
		if err == nil {
			*target = v
		}
		return err
	}
}

// Each is the Set of a repeatable flag whose values are appended to target.
func Each[T any](target *[]T, parse func(string) (T, error)) func(string) error {
	return func(s string) error {
		v, err := parse(s)
		if err == nil {
			*target = append(*target, v)
		}
		return err
	}
}

// placeholder stands for the flag's value in messages.
func (f Flag) placeholder() string {
	if f.onOff() {
		return "true or false"
	}
	return f.Value
}

func (f Flag) onOff() bool { return f.Value == "" }

// env is the name of the variable that serves in place of the flag.
func (p Program) env(f Flag) string {
	if f.Env != "" {
		return f.Env
	}
	return p.EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// fill gives every flag its value: the command line's, else the
// environment's, else the default.
func (p Program) fill(given given, getenv func(string) string) error {
	for _, f := range p.Flags {
		if err := p.fillFlag(f, given, getenv); err != nil {
			return err
		}
	}
	if p.Check == nil {
		return nil
	}
	return p.Check()
}

func (p Program) fillFlag(f Flag, given given, getenv func(string) string) error {
	origin, values := p.lookup(f, given, getenv)
	if len(values) == 0 && f.Required {
		return fmt.Errorf("flag -%s is missing: give -%[1]s %s or set %s (%s)", f.Name, f.Value, p.env(f), f.Usage)
	}
	for _, value := range values {
		if value == "" {
			return fmt.Errorf("%s: no value: give %s", origin, f.placeholder())
		}
		if err := f.Set(value); err != nil {
			return fmt.Errorf("%s: %w", origin, err)
		}
	}
	return nil
}

// lookup finds a flag's values and says where they come from, for errors. An
// empty variable counts as unset.
func (p Program) lookup(f Flag, given given, getenv func(string) string) (origin string, values []string) {
	if values, ok := given[f.Name]; ok {
		return "flag -" + f.Name, values
	}
	if value := getenv(p.env(f)); value != "" {
		return "environment variable " + p.env(f), f.split(value)
	}
	if f.Default != "" {
		return "default of flag -" + f.Name, []string{f.Default}
	}
	return "", nil
}

func (f Flag) split(value string) []string {
	if f.Split == nil {
		return []string{value}
	}
	return f.Split(value)
}
