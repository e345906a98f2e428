package access

import (
	"strings"
	"testing"

	"scout/internal/files"
)

func TestPolicy(t *testing.T) {
	p, err := parsePolicy("policy", []byte(`
# scout            where
token:web          hosts=web-*,www   directories=/srv/**,/var/log/*
token:web          hosts=shared      directories=/pool
cert:*.db.example  directories=/{data,dump}/**  hosts=$name
cert:spiffe://a/** hosts=a           directories=/
token:any          hosts=**          directories=/**
token:space        hosts=a?b         directories=/a?b
token:braces       hosts={a,b}       directories={/a,/b}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		who, host, dir string
		want           bool
	}{
		{"token:web", "web-01", "/srv/data", true},
		{"token:web", "web-01", "/srv", true},
		{"token:web", "www", "/var/log/nginx", true},
		{"token:web", "www", "/var/log/nginx/old", false},
		{"token:web", "www", "/var/log", false},
		{"token:web", "db-01", "/srv/data", false},
		{"token:web", "web-01/x", "/srv/data", false},
		{"token:web", "xweb-01", "/srv/data", false},
		{"token:web", "web-01", "/srvx", false},
		{"token:web", "web-01", "/", false},
		{"token:web", "shared", "/pool", true},
		{"token:web", "shared", "/srv/data", false}, // rules do not mix
		{"token:web", "web-01", "/pool", false},
		{"token:web", "web-01", "/srv/../etc", false},
		{"token:web", "web-01", "/srv/./data", false},
		{"token:web", "web-01", "/srv/data/", false},
		{"token:web", "web-01", "/srv//data", false},
		{"token:web", "web-01", "/srv/\xff", true},
		{"cert:web", "web-01", "/srv/data", false},
		{"token:we", "web-01", "/srv/data", false},
		{"cert:a.db.example", "a.db.example", "/data/x", true},
		{"cert:a.db.example", "b.db.example", "/data/x", false},
		{"cert:a.db.example", "a.db.example", "/etc", false},
		{"cert:*.db.example", "a.db.example", "/data/x", false},
		{"cert:spiffe://a/b/c", "a", "/", true},
		{"token:any", "anything/at all", "/etc", true},
		{"token:space", "a b", "/a b", true},
		{"token:braces", "b", "/b", true},
		{"token:braces", "c", "/b", false},
		{"", "web-01", "/srv/data", false},
	} {
		o := files.Origin{Host: tc.host, Directory: tc.dir}
		if got := p.permits([]string{"cert:other", tc.who}, o); got != tc.want {
			t.Errorf("%s shows %q of %q: %t", tc.who, tc.dir, tc.host, got)
		}
		if p.permits(nil, o) {
			t.Error("a scout without a name may register")
		}
	}
}

func TestWrongPolicy(t *testing.T) {
	for content, want := range map[string]string{
		"# nothing\n":                             "policy: there is no rule in it, so that no scout could register: write one",
		"\nweb hosts=* directories=/**":           `policy:2: "web" does not name scouts: begin with token:NAME or cert:NAME`,
		"user:web hosts=* directories=/**":        `policy:1: "user:web" does not name scouts`,
		"token: hosts=* directories=/**":          `policy:1: "token:" does not name scouts`,
		"token:[ hosts=* directories=/**":         `policy:1: "token:[" is not a glob pattern: check its brackets`,
		"token:web":                               "policy:1: hosts= is missing: add the hosts",
		"token:web hosts=*":                       "policy:1: directories= is missing: add the directories",
		"token:web directories=/**":               "policy:1: hosts= is missing",
		"token:web hosts= directories=/**":        "policy:1: hosts=: a pattern is empty",
		"token:web hosts=a,,b directories=/**":    "policy:1: hosts=: a pattern is empty",
		"token:web hosts=a directories=/a,":       "policy:1: directories=: a pattern is empty",
		"token:web hosts=a directories=srv/**":    `policy:1: directories=: "srv/**" can match nothing: directories are absolute`,
		"token:web hosts=a hosts=b directories=/": "policy:1: hosts= is there twice: separate several",
		"token:web hosts=a directories=/a b":      `policy:1: "b" is neither hosts=… nor directories=…`,
		"token:web host=a directories=/":          `policy:1: "host=a" is neither`,
		"token:web hosts={a directories=/":        `policy:1: hosts=: "{a" is not a glob pattern`,
		"token:web hosts=\xff directories=/":      "policy:1: the line is not UTF-8",
	} {
		if _, err := parsePolicy("policy", []byte(content)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	for _, seed := range []string{
		"token:web hosts=web-* directories=/srv/**,/var/log/*", "cert:* hosts=$name directories=/**", "# nothing", "token:a hosts={a,b} directories={/a,/b}",
		"token:web hosts=[a-z]* directories=/\\*", "cert:a hosts=", "token:web hosts=a hosts=b", "token:\xff", "token:web hosts=**/** directories=/**/**/x",
	} {
		f.Add([]byte(seed), "token:web", "web-01", "/srv/data")
		f.Add([]byte(seed), "cert:a", "a\x00", "/srv/../\xff")
	}
	f.Fuzz(func(t *testing.T, content []byte, who, host, dir string) {
		p, err := parsePolicy("f", content)
		if (p == nil) == (err == nil) {
			t.Fatalf("%v and %v", p, err)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		o := files.Origin{Host: host, Directory: dir}
		if p.permits(nil, o) || p.permits([]string{"user:" + who}, o) {
			t.Errorf("a stranger shows %+v by %q", o, content)
		}
		if p.permits([]string{who}, o) && (!strings.HasPrefix(dir, "/") || strings.Contains(dir, "..") && strings.Contains(dir+"/", "/../")) {
			t.Errorf("%q shows %+v by %q", who, o, content)
		}
	})
}
