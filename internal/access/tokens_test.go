package access

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const (
	secretA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	secretB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb="
)

func TestTokens(t *testing.T) {
	tokens, err := parseTokens("tokens", []byte("# a comment\r\n\n  web:"+secretA+"\r\nweb:"+secretB+"\ndb.1:0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]string{
		secretA: "web", secretB: "web", "0123456789abcdef": "db.1",
		"": "", "web": "", "web:" + secretA: "", secretA + "a": "", secretA[1:]: "", strings.ToUpper(secretA): "",
	} {
		if name, ok := tokens.name(secret); name != want || ok != (want != "") {
			t.Errorf("%q is %q's, %t", secret, name, ok)
		}
	}
}

// The cost of a lookup does not depend on the number of secrets: every scout causes
// one each heartbeat.
func BenchmarkName(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var content strings.Builder
			for i := range n {
				fmt.Fprintf(&content, "scout-%d:%032d\n", i, i)
			}
			tokens, err := parseTokens("tokens", []byte(content.String()))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, ok := tokens.name(fmt.Sprintf("%032d", n-1)); !ok {
					b.Fatal("unknown")
				}
			}
		})
	}
}

// Errors name the file and the line, and never quote what could be a secret.
func TestWrongTokens(t *testing.T) {
	const secret = "S3CR3TS3CR3TS3CR3T"
	for content, want := range map[string]string{
		"":                                  "tokens: there is no token in it: write one",
		"# only this\n\n":                   "tokens: there is no token in it: write one",
		"\n" + secret:                       "tokens:2: there is no name before the secret: write name:secret",
		"web:S3CR3T":                        "tokens:1: the secret has less than 16 characters: make one",
		"web:":                              "tokens:1: the secret has less than 16 characters: make one",
		"a:" + secretA + "\nb c:" + secret:  "tokens:2: the name before the colon is not",
		":" + secret:                        "tokens:1: the name before the colon is not",
		"web:" + secret + " " + secret:      "tokens:1: the secret has characters other than",
		"web:" + secret + ":x":              "tokens:1: the secret has characters other than",
		"web:=" + secret:                    "tokens:1: the secret has characters other than",
		"web:" + secret + "\xff":            "tokens:1: the secret has characters other than",
		"a:" + secret + "\nb:" + secret:     "tokens:2: the secret is a's already: give each name",
		"web:" + strings.Repeat(secret, 30): "tokens:1: the secret has more than 512 characters: make one",
	} {
		_, err := parseTokens("tokens", []byte(content))
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "S3CR3T") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestToken(t *testing.T) {
	for content, want := range map[string]string{
		secretA: secretA, secretA + "\n": secretA, "# mine\nweb:" + secretB + "\n": secretB,
	} {
		if got, err := parseTokenFile("token", []byte(content)); got != want || err != nil {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	for content, want := range map[string]string{
		"\n":                         "token: there is no token in it",
		secretA + "\nweb:" + secretB: "token:2: this is a second token",
		"short":                      "token:1: the secret has less than 16 characters",
	} {
		if _, err := parseTokenFile("token", []byte(content)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func TestBearer(t *testing.T) {
	tokens, err := parseTokens("tokens", []byte("web:"+secretA))
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]error{
		"Bearer " + secretA: nil, "bearer  " + secretA + " ": nil,
		"": errNoToken, "Basic " + secretA: errNoToken, secretA: errNoToken,
		"Bearer": errUnknownToken, "Bearer " + secretB: errUnknownToken, "Bearer " + secretA + "," + secretA: errUnknownToken,
	} {
		name, err := bearer(tokens, header)
		if !errors.Is(err, want) || (err == nil) != (name == "web") {
			t.Errorf("%q: %q, %v", header, name, err)
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, seed := range []string{
		"", "# comment\n", "web:" + secretA, "web:" + secretA + "\nweb:" + secretB + "\n", secretA, "web:short", ":::", "a b:c\xff\x00",
		"web:" + secretA + "\r\n", " web:" + secretA,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		tokens, err := parseTokens("f", content)
		if (tokens == nil) == (err == nil) {
			t.Fatalf("%v and %v", tokens, err)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		// Each line that says something is a token that is good.
		good := 0
		for _, line := range lines("f", content) {
			_, secret, _ := strings.Cut(line, ":")
			if _, ok := tokens.name(secret); !ok || len(secret) < minSecret {
				t.Errorf("%q is not good", line)
			}
			good++
		}
		if good != len(tokens.names) {
			t.Errorf("%d tokens in %d lines", len(tokens.names), good)
		}
		if _, ok := tokens.name(""); ok {
			t.Error("nothing is a token")
		}
		if secret, err := parseTokenFile("f", content); err == nil {
			if _, ok := tokens.name(secret); !ok {
				t.Errorf("the same file holds the unknown %q", secret)
			}
		}
	})
}
