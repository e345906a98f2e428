package authorities_test

import (
	"os"
	"strings"
	"testing"

	"scout/internal/access/accesstest"
	"scout/internal/authorities"
)

// Each block of a bundle counts.
func TestParse(t *testing.T) {
	ca, other := accesstest.NewAuthority(t, "ca"), accesstest.NewAuthority(t, "other")
	first, err := os.ReadFile(ca.File)
	must(t, err)
	second, err := os.ReadFile(other.File)
	must(t, err)
	pair := ca.Issue("localhost")
	key, err := os.ReadFile(pair.Key)
	must(t, err)
	damaged := strings.Replace(string(second), "\n", "\n*", 1)
	for content, want := range map[string]string{
		string(first) + string(second):                      "",
		"comment\n" + string(first) + "\n" + string(second): "",
		string(first) + string(key):                         "block 2 is of type",
		string(first) + damaged:                             "block 2 is damaged",
		damaged + string(first):                             "block 1 is damaged",
		string(first) + string(second)[:80]:                 "block 2 is damaged",
		"":                                                  "there is no certificate",
		string(first) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "block 2 is no certificate",
	} {
		_, err := authorities.Parse("bundle", []byte(content))
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v, want %q", len(content), err, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
