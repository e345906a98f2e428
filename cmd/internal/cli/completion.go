package cli

import (
	"fmt"
	"slices"
	"strings"
)

// shells are those for which a program can write completions.
var shells = []string{"bash", "zsh", "fish"}

func parseShell(s string) (string, error) {
	if slices.Contains(shells, s) {
		return s, nil
	}
	return "", fmt.Errorf("flag -%s: %q is none of %s", completionFlag, s, strings.Join(shells, ", "))
}

// completion is what makes a shell complete the program's flags.
func (p Program) completion(shell string) string {
	switch shell {
	case "bash":
		return p.bash()
	case "zsh":
		return p.zsh()
	default:
		return p.fish()
	}
}

// allFlags are the program's and those that every program has.
func (p Program) allFlags() []Flag { return slices.Concat(p.Flags, asides) }

func (p Program) bash() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# bash completion for %[1]s: source <(%[1]s -completion bash)\n", p.Name)
	fmt.Fprintf(&b, "_%s() {\n\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n\tCOMPREPLY=()\n\tcase $before in\n", p.Name)
	names := make([]string, 0, len(p.Flags))
	for _, f := range p.allFlags() {
		names = append(names, "-"+f.Name)
		if !f.onOff() {
			fmt.Fprintf(&b, "\t-%[1]s | --%[1]s) %s; return ;;\n", f.Name, f.bash())
		}
	}
	fmt.Fprintf(&b, "\tesac\n\tmapfile -t COMPREPLY < <(compgen -W '%s' -- \"$word\")\n}\ncomplete -o filenames -F _%[2]s %[2]s\n",
		strings.Join(names, " "), p.Name)
	return b.String()
}

// bash is the command that completes a flag's value.
func (f Flag) bash() string {
	switch {
	case len(f.Choices) > 0:
		return fmt.Sprintf("mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$word\")", strings.Join(f.Choices, " "))
	case f.Value == "DIR":
		return `mapfile -t COMPREPLY < <(compgen -d -- "$word")`
	case f.Value == "FILE":
		return `mapfile -t COMPREPLY < <(compgen -f -- "$word")`
	}
	return ":"
}

func (p Program) zsh() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %[1]s\n# zsh completion for %[1]s: source <(%[1]s -completion zsh)\n_%[1]s() {\n\t_arguments", p.Name)
	for _, f := range p.allFlags() {
		again := ""
		if f.Split != nil {
			again = "*"
		}
		fmt.Fprintf(&b, " \\\n\t\t%s", quoted(again+"-"+f.Name+"["+zshText(f.Usage)+"]"+f.zsh()))
	}
	fmt.Fprintf(&b, "\n}\ncompdef _%[1]s %[1]s\n", p.Name)
	return b.String()
}

// zsh says what a flag's value is, and how it is completed.
func (f Flag) zsh() string {
	switch {
	case f.onOff():
		return ""
	case len(f.Choices) > 0:
		return ":" + f.Value + ":(" + strings.Join(f.Choices, " ") + ")"
	case f.Value == "DIR":
		return ":DIR:_files -/"
	case f.Value == "FILE":
		return ":FILE:_files"
	}
	return ":" + zshText(f.Value) + ": "
}

func zshText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`).Replace(strings.Join(strings.Fields(s), " "))
}

func (p Program) fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion for %[1]s: %[1]s -completion fish | source\ncomplete -c %[1]s -f\n", p.Name)
	for _, f := range p.allFlags() {
		usage := strings.ReplaceAll(strings.Join(strings.Fields(f.Usage), " "), `\`, `\\`)
		fmt.Fprintf(&b, "complete -c %s -o %s -d '%s'%s\n", p.Name, f.Name, strings.ReplaceAll(usage, "'", `\'`), f.fish())
	}
	return b.String()
}

// fish says how a flag's value is completed.
func (f Flag) fish() string {
	switch {
	case f.onOff():
		return ""
	case len(f.Choices) > 0:
		return " -x -a '" + strings.Join(f.Choices, " ") + "'"
	case f.Value == "DIR":
		return " -x -a '(__fish_complete_directories)'"
	case f.Value == "FILE":
		return " -r -F"
	}
	return " -x"
}

// quoted is s as one word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
