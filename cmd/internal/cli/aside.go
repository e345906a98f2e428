package cli

// The flags that every program has and no environment variable serves: each
// makes it say something, and exit.
const (
	helpFlag       = "help"
	versionFlag    = "version"
	manFlag        = "man"
	completionFlag = "completion"
)

// asides describes them.
var asides = []Flag{
	{Name: versionFlag, Usage: "print the version and exit"},
	{Name: helpFlag, Usage: "print help and exit"},
	{Name: manFlag, Usage: "print the manual page, for man -l or a file, and exit"},
	{Name: completionFlag, Value: "SHELL", Choices: shells, Usage: "print what makes bash, zsh or fish complete flags, and exit"},
}

// aside is what is to be said in place of doing the work; empty: the work is to
// be done.
func (p Program) aside(g given) (string, error) {
	switch {
	case g.on(helpFlag):
		return p.help(), nil
	case g.on(versionFlag):
		return p.version() + "\n", nil
	case g.on(manFlag):
		return p.man(), nil
	case len(g[completionFlag]) > 0:
		values := g[completionFlag]
		shell, err := parseShell(values[len(values)-1])
		if err != nil {
			return "", err
		}
		return p.completion(shell), nil
	}
	return "", nil
}
