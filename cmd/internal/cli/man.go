package cli

import (
	"fmt"
	"strings"
)

// man is the program's page of the system's manual, in roff's man macros.
func (p Program) man() string {
	var b strings.Builder
	name := roff(p.Name)
	fmt.Fprintf(&b, ".TH %s 8 \"\" \"%s\" \"Scout\"\n", strings.ToUpper(p.Name), roff(p.Name+" "+Version()))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", name, roff(p.Summary))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n%s\n", name, roff(strings.TrimSpace(p.Synopsis+" [flags]")))
	b.WriteString(".SH DESCRIPTION\n")
	for paragraph := range strings.SplitSeq(strings.TrimSpace(p.Description), "\n\n") {
		fmt.Fprintf(&b, ".PP\n%s\n", roffText(paragraph))
	}
	b.WriteString(".SH OPTIONS\n" + roffText("Each as -name value, --name value or -name=value. Where a flag is not given "+
		"its environment variable serves, unless that is empty.") + "\n")
	for _, f := range p.Flags {
		p.manFlag(&b, f)
	}
	for _, f := range asides {
		fmt.Fprintf(&b, ".TP\n%s\n%s\n", manName(f), roffText(sentence(f.Usage)))
	}
	b.WriteString(".SH EXIT STATUS\n")
	for _, e := range exits {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", e.code, roffText(sentence(e.meaning)))
	}
	b.WriteString(".SH EXAMPLES\n")
	for _, e := range p.Examples {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(e.Command), roffText(sentence(e.Meaning)))
	}
	fmt.Fprintf(&b, ".SH SEE ALSO\n.BR scout (8),\n.BR scoutmaster (8)\n")
	return b.String()
}

func (p Program) manFlag(b *strings.Builder, f Flag) {
	fmt.Fprintf(b, ".TP\n%s\n%s\n", manName(f), roffText(sentence(f.Usage)))
	fmt.Fprintf(b, ".br\n%s\n", roffText(sentence(strings.Join(p.terms(f), "; "))))
}

// manName is a flag and its value, as they are given.
func manName(f Flag) string {
	if f.onOff() {
		return ".B " + roff("-"+f.Name)
	}
	return fmt.Sprintf(".BI %s \" %s\"", roff("-"+f.Name), roff(f.Value))
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

// roffText is a paragraph for roff to fill.
func roffText(s string) string { return roff(strings.Join(strings.Fields(s), " ")) }

// roff escapes what roff would take for more than text.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, `"`, `\(dq`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		return `\&` + s
	}
	return s
}
