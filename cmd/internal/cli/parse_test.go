package cli

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// setenv sets the environment of a test case, until the test ends.
func setenv(t *testing.T, env map[string]string) {
	t.Helper()
	for _, key := range []string{"THE_NAMES", "SAMPLE_ADDRESS", "SAMPLE_MAX_WAIT", "SAMPLE_DEEP", "SAMPLE_LOG_FORMAT"} {
		t.Setenv(key, env[key])
	}
}

func TestFlagForms(t *testing.T) {
	for _, line := range []string{
		"-max-wait 2s -name a -deep=false",
		"--max-wait 2s --name a --deep=false",
		"-max-wait=2s -name=a -deep false",
		"--max-wait=2s --name=a --deep false",
		"-deep=0 -max-wait 9s -deep false -max-wait 2s -name a --",
	} {
		var s sample
		if err := s.program().Parse(strings.Fields(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if s.wait != 2*time.Second || !slices.Equal(s.names, []string{"a"}) || s.deep || s.address != "127.0.0.1:3000" {
			t.Errorf("%s: %+v", line, s)
		}
	}
}

func TestSources(t *testing.T) {
	tests := []struct {
		about string
		line  string
		env   map[string]string
		want  sample
	}{
		{
			about: "defaults", line: "-name a",
			want: sample{address: "127.0.0.1:3000", wait: time.Second, names: []string{"a"}, deep: true},
		},
		{
			about: "environment",
			env:   map[string]string{"THE_NAMES": "a,b", "SAMPLE_ADDRESS": ":1", "SAMPLE_MAX_WAIT": "2s", "SAMPLE_DEEP": "false"},
			want:  sample{address: ":1", wait: 2 * time.Second, names: []string{"a", "b"}},
		},
		{
			about: "a flag goes before its variable, even a wrong one", line: "-name c -deep -max-wait 3s",
			env:  map[string]string{"THE_NAMES": "a,b", "SAMPLE_MAX_WAIT": "soon", "SAMPLE_DEEP": "false"},
			want: sample{address: "127.0.0.1:3000", wait: 3 * time.Second, names: []string{"c"}, deep: true},
		},
		{
			about: "an empty variable is unset", line: "-name a",
			env:  map[string]string{"SAMPLE_ADDRESS": "", "SAMPLE_MAX_WAIT": "", "SAMPLE_DEEP": ""},
			want: sample{address: "127.0.0.1:3000", wait: time.Second, names: []string{"a"}, deep: true},
		},
		{
			about: "repeated, and commas are kept on the command line", line: "-name a,b -name c",
			want: sample{address: "127.0.0.1:3000", wait: time.Second, names: []string{"a,b", "c"}, deep: true},
		},
		{
			about: "a value that looks like a flag is given with =", line: "-name=-deep",
			want: sample{address: "127.0.0.1:3000", wait: time.Second, names: []string{"-deep"}, deep: true},
		},
	}
	for _, test := range tests {
		var s sample
		setenv(t, test.env)
		if err := s.program().Parse(strings.Fields(test.line)); err != nil {
			t.Errorf("%s: %v", test.about, err)
		}
		if s.address != test.want.address || s.wait != test.want.wait || !slices.Equal(s.names, test.want.names) || s.deep != test.want.deep {
			t.Errorf("%s: got %+v, want %+v", test.about, s, test.want)
		}
	}
}

func TestWrongUsageNamesCauseAndCure(t *testing.T) {
	tests := []struct {
		args []string
		env  map[string]string
		want string
	}{
		{args: []string{"-address", "70000"}, want: `flag -address: "70000" is not a port (0-65535) or host:port`},
		{env: map[string]string{"SAMPLE_ADDRESS": "http"}, want: `environment variable SAMPLE_ADDRESS: "http" is not a port (0-65535) or host:port`},
		{args: []string{"-name"}, want: "flag -name: no value: give NAME"},
		{args: []string{"-name", "-deep"}, want: "flag -name: no value: give NAME"},
		{args: []string{"-name", ""}, want: "flag -name: no value: give NAME"},
		{args: []string{"-deep=", "-name", "a"}, want: "flag -deep: no value: give true or false"},
		{args: []string{"-deep=maybe", "-name", "a"}, want: `flag -deep: "maybe" is neither true nor false`},
		{args: []string{"-name", "a", "-deep", "maybe"}, want: `argument "maybe" belongs to no flag: remove it; see sample -help`},
		{args: []string{"-name", "a", ""}, want: `argument "" belongs to no flag: remove it; see sample -help`},
		{args: []string{"-name", "a", "-"}, want: `argument "-" belongs to no flag: remove it; see sample -help`},
		{args: []string{"-name", "a", "-1"}, want: `argument "-1" belongs to no flag: remove it; see sample -help`},
		{args: []string{"-name", "a", "--", "-deep"}, want: `argument "-deep" belongs to no flag: remove it; see sample -help`},
		{args: []string{"-name", "a", "-address", "1", "-once", "x", "--once=y"}, want: "flag -once is given twice: start two"},
		{args: []string{"-name", "a", "helm"}, want: `argument "helm" belongs to no flag: remove it; see sample -help`},
		{args: []string{"-nom\n", "a"}, want: `flag "-nom" is unknown: see sample -help for the flags that it has`},
		{args: []string{"---name", "a"}, want: `flag "--name" is unknown: see sample -help for the flags that it has`},
		{args: []string{"-max-wait", "5", "-name", "a"}, want: `flag -max-wait: "5" is not a duration such as 500ms, 1s or 2m`},
		{args: []string{"-max-wait", "2h", "-name", "a"}, want: "flag -max-wait: too long"},
		{want: "flag -name is missing: give -name NAME or set THE_NAMES (who is meant)"},
	}
	for _, test := range tests {
		var s sample
		setenv(t, test.env)
		err := s.program().Parse(test.args)
		if err == nil || err.Error() != test.want {
			t.Errorf("%q, %v:\n got %v\nwant %s", test.args, test.env, err, test.want)
		}
	}
}
