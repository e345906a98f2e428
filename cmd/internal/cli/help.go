package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// version is set by the linker.
var version string

// Version is what this program was built from.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && strings.HasPrefix(info.Main.Version, "v") {
		return info.Main.Version
	}
	return "dev"
}

func (p Program) version() string {
	return fmt.Sprintf("%s %s (%s, %s/%s)", p.Name, Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// help is the manual of the program.
func (p Program) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\nUsage: %s\n\n%s\n", p.Name, p.Summary, p.usage(), strings.TrimSpace(p.Description))
	b.WriteString("\nFlags, each as -name value, --name value or -name=value. Where a flag is not given\n" +
		"its environment variable serves, unless that is empty.\n\n")
	for _, f := range p.Flags {
		p.helpFlag(&b, f)
	}
	for _, f := range asides {
		fmt.Fprintf(&b, "  %s\n      %s\n", strings.TrimSpace("-"+f.Name+" "+f.Value), f.Usage)
	}
	b.WriteString("\nExamples:\n\n")
	for _, e := range p.Examples {
		fmt.Fprintf(&b, "  %s\n      %s\n", e.Command, e.Meaning)
	}
	b.WriteString("\nExit codes:\n\n")
	for _, e := range exits {
		fmt.Fprintf(&b, "  %s\n      %s\n", e.code, e.meaning)
	}
	return b.String()
}

// exits are the exit codes, for people.
var exits = []struct{ code, meaning string }{
	{"0", "stopped as told"},
	{"1", "failed"},
	{"2", "told something wrong"},
	{"128 + N", "a second signal, number N, cut the ending short"},
}

func (p Program) usage() string {
	return strings.Join(strings.Fields(p.Name+" "+p.Synopsis+" [flags]"), " ")
}

func (p Program) helpFlag(b *strings.Builder, f Flag) {
	fmt.Fprintf(b, "  %s\n      %s\n      %s\n", strings.TrimSpace("-"+f.Name+" "+f.Value), f.Usage, strings.Join(p.terms(f), ", "))
}

// terms are how a flag may be given.
func (p Program) terms(f Flag) (terms []string) {
	if f.Split != nil {
		terms = append(terms, "repeatable")
	}
	switch {
	case f.DefaultText != "":
		terms = append(terms, "default: "+f.DefaultText)
	case f.Default != "":
		terms = append(terms, "default: "+f.Default)
	case f.Required:
		terms = append(terms, "required")
	}
	return append(terms, "environment: "+p.env(f))
}
