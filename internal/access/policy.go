package access

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/glob"
)

// policy says which scouts may register which hosts and directories. A scout that
// matches no rule may register none.
type policy struct{ rules []*rule }

// rule permits the scouts whose name matches to register one of the directories of
// one of the hosts.
type rule struct {
	scout       string // a pattern on an identity such as "token:web"
	hosts       []string
	directories []string
}

// ownName as a host stands for the name in the scout's credential.
const ownName = "$name"

// parsePolicy reads a policy: one rule a line as
//
//	token:web          hosts=web-*  directories=/srv/**,/var/log/*
//	cert:db-01.example hosts=db-01  directories=/**
//	cert:*             hosts=$name  directories=/**
//
// and ignores empty lines and lines that begin with #. Names, hosts and directories
// are patterns of doublestar. Commas separate several patterns, and ? stands for a
// space. Errors name the file, the line, the cause and the cure.
func parsePolicy(file string, content []byte) (*policy, error) {
	p := new(policy)
	for at, line := range lines(file, content) {
		r, err := parseRule(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		p.rules = append(p.rules, r)
	}
	if len(p.rules) == 0 {
		return nil, fmt.Errorf("%s: there is no rule in it, so that no scout could register: write one a line, such as token:web hosts=web-* directories=/srv/**", file)
	}
	return p, nil
}

func parseRule(line string) (*rule, error) {
	if !utf8.ValidString(line) {
		return nil, fmt.Errorf("the line is not UTF-8: write ? for each byte of a name that is not")
	}
	fields := strings.Fields(line)
	scout, err := parseScout(fields[0])
	if err != nil {
		return nil, err
	}
	r := &rule{scout: scout}
	for _, field := range fields[1:] {
		if err := r.parseField(field); err != nil {
			return nil, err
		}
	}
	switch {
	case r.hosts == nil:
		return nil, fmt.Errorf("hosts= is missing: add the hosts, or hosts=* for any")
	case r.directories == nil:
		return nil, fmt.Errorf("directories= is missing: add the directories, or directories=/** for any")
	}
	return r, nil
}

func parseScout(s string) (string, error) {
	kind, name, _ := strings.Cut(s, ":")
	if kind != "token" && kind != "cert" || name == "" {
		return "", fmt.Errorf("%q does not name scouts: begin with token:NAME or cert:NAME", s)
	}
	return s, glob.CheckSyntax(s)
}

func (r *rule) parseField(field string) error {
	key, value, _ := strings.Cut(field, "=")
	var target *[]string
	check := glob.CheckSyntax
	switch key {
	case "hosts":
		target = &r.hosts
	case "directories":
		target, check = &r.directories, checkDirectory
	default:
		return fmt.Errorf("%q is neither hosts=… nor directories=…: a pattern has no spaces in it, write ? for one", field)
	}
	if *target != nil {
		return fmt.Errorf("%s= is there twice: separate several patterns by commas", key)
	}
	*target = glob.Split(value)
	for _, pattern := range *target {
		if err := check(pattern); err != nil {
			return fmt.Errorf("%s=: %w", key, err)
		}
	}
	return nil
}

func checkDirectory(pattern string) error {
	if err := glob.CheckSyntax(pattern); err != nil {
		return err
	}
	if pattern[0] != '/' && pattern[0] != '{' {
		return fmt.Errorf("%q can match nothing: directories are absolute, as in /srv/**", pattern)
	}
	return nil
}

// permits reports whether a scout with these names may register an origin. It never
// permits a directory that is not written in its shortest form, because such a path
// may lead to another place than its beginning suggests.
func (p *policy) permits(names []string, o files.Origin) bool {
	return path.Clean(o.Directory) == o.Directory && slices.ContainsFunc(names, func(name string) bool {
		return slices.ContainsFunc(p.rules, func(r *rule) bool { return r.permits(name, o) })
	})
}

func (r *rule) permits(name string, o files.Origin) bool {
	return matches(r.scout, name) && r.host(name, o.Host) &&
		slices.ContainsFunc(r.directories, func(pattern string) bool { return matches(pattern, o.Directory) })
}

func (r *rule) host(name, host string) bool {
	return slices.ContainsFunc(r.hosts, func(pattern string) bool {
		if pattern == ownName {
			_, own, _ := strings.Cut(name, ":")
			return own == host
		}
		return matches(pattern, host)
	})
}

// matches reports whether a valid pattern matches.
func matches(pattern, s string) bool {
	ok, err := doublestar.Match(pattern, s)
	return ok && err == nil
}

func openPolicy(log *zap.Logger, file string) (*credentialFile[*policy], error) {
	return openFile(log, func(contents [][]byte) (*policy, error) { return parsePolicy(file, contents[0]) }, file)
}
