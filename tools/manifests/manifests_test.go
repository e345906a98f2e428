// Package manifests checks descriptions against the types and schemas of the programs
// that read them: Kubernetes, Compose, Grafana, the workflow of CI. It is a module of its
// own: the programs need none of these.
package manifests

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const packaging = "../../packaging"

// object returns a pointer to an empty object of a kind, or nil for a kind that the
// manifests should not have.
func object(apiVersionAndKind string) any {
	switch apiVersionAndKind {
	case "v1 Namespace":
		return new(core.Namespace)
	case "v1 Secret":
		return new(core.Secret)
	case "v1 ConfigMap":
		return new(core.ConfigMap)
	case "v1 Service":
		return new(core.Service)
	case "apps/v1 Deployment":
		return new(apps.Deployment)
	case "apps/v1 DaemonSet":
		return new(apps.DaemonSet)
	case "apps/v1 StatefulSet":
		return new(apps.StatefulSet)
	case "networking.k8s.io/v1 NetworkPolicy":
		return new(networking.NetworkPolicy)
	case "policy/v1 PodDisruptionBudget":
		return new(policy.PodDisruptionBudget)
	case "monitoring.coreos.com/v1 PodMonitor":
		return new(monitoring.PodMonitor)
	}
	return nil
}

// Every object of both kustomizations has known fields alone, and refers to what there
// is.
func TestKubernetes(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(packaging+"/kubernetes")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(packaging+"/kubernetes/credentials", dir+"/base/secrets").CombinedOutput(); err != nil {
		if !strings.Contains(string(out), "there are credentials") { // those of a developer
			t.Fatalf("credentials: %v: %s", err, out)
		}
	}
	for name, want := range map[string]string{
		"base":  "DaemonSet Deployment Namespace NetworkPolicy PodDisruptionBudget PodMonitor Secret Service",
		"fleet": "ConfigMap DaemonSet Deployment Namespace NetworkPolicy PodDisruptionBudget PodMonitor Secret Service StatefulSet",
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			kinds := make(map[string]bool)
			defined := make(map[string]bool) // secrets and the like
			var pods []core.PodSpec
			var scrapes []monitoring.PodMetricsEndpoint
			for _, r := range objects.Resources() {
				text, err := r.AsYAML()
				if err != nil {
					t.Fatal(err)
				}
				kinds[r.GetKind()] = true
				defined[r.GetKind()+" "+r.GetName()] = true
				o := object(r.GetApiVersion() + " " + r.GetKind())
				if o == nil {
					t.Fatalf("%s %s is of a kind that is not checked", r.GetKind(), r.GetName())
				}
				if err := yaml.UnmarshalStrict(text, o); err != nil {
					t.Errorf("%s %s: %v", r.GetKind(), r.GetName(), err)
				}
				switch o := o.(type) {
				case *apps.Deployment:
					pods = append(pods, o.Spec.Template.Spec)
				case *apps.DaemonSet:
					pods = append(pods, o.Spec.Template.Spec)
				case *apps.StatefulSet:
					pods = append(pods, o.Spec.Template.Spec)
				case *monitoring.PodMonitor:
					scrapes = append(scrapes, o.Spec.PodMetricsEndpoints...)
				}
			}
			if got := strings.Join(slices.Sorted(maps.Keys(kinds)), " "); got != want {
				t.Errorf("kinds %s, not %s", got, want)
			}
			for _, pod := range pods {
				for _, v := range pod.Volumes {
					if v.Secret != nil && !defined["Secret "+v.Secret.SecretName] {
						t.Errorf("there is no secret %s", v.Secret.SecretName)
					}
					if v.ConfigMap != nil && !defined["ConfigMap "+v.ConfigMap.Name] {
						t.Errorf("there is no config map %s", v.ConfigMap.Name)
					}
				}
				for _, c := range pod.Containers {
					names := make([]string, len(c.Env))
					for i, v := range c.Env {
						names[i] = v.Name
					}
					checkVariables(t, c.Name, names)
				}
			}
			for _, s := range scrapes {
				for _, name := range []string{s.TLSConfig.CA.Secret.Name, s.Authorization.Credentials.Name} {
					if !defined["Secret "+name] {
						t.Errorf("there is no secret %s", name)
					}
				}
			}
		})
	}
}

// Both projects follow the schema of Compose, and use variables of the programs.
func TestCompose(t *testing.T) {
	for file, want := range map[string]string{
		"compose.yaml":       "scout-etc scout-log scoutmaster",
		"compose-fleet.yaml": "nats-1 nats-2 nats-3 scout-etc scout-log scoutmaster-1 scoutmaster-2 scoutmaster-3",
	} {
		t.Run(file, func(t *testing.T) {
			options, err := cli.NewProjectOptions([]string{filepath.Join(packaging, file)})
			if err != nil {
				t.Fatal(err)
			}
			project, err := options.LoadProject(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(project.Services)), " "); got != want {
				t.Errorf("services %s, not %s", got, want)
			}
			dockerfile, err := os.ReadFile(packaging + "/Dockerfile")
			if err != nil {
				t.Fatal(err)
			}
			for name, s := range project.Services {
				checkVariables(t, name, slices.Collect(maps.Keys(s.Environment)))
				if s.Build != nil && !bytes.Contains(dockerfile, []byte(" AS "+s.Build.Target+"\n")) {
					t.Errorf("%s: the Dockerfile has no target %q", name, s.Build.Target)
				}
			}
		})
	}
}

var documented = func() map[string]bool {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		panic(err)
	}
	names := make(map[string]bool)
	for _, m := range regexp.MustCompile("`((SCOUT|SCOUTMASTER|MONITOR)_[A-Z_]+)`").FindAllSubmatch(text, -1) {
		names[string(m[1])] = true
	}
	return names
}()

// checkVariables checks that the programs have the variables that begin as theirs do.
func checkVariables(t *testing.T, container string, names []string) {
	t.Helper()
	for _, name := range names {
		if strings.HasPrefix(name, "SCOUT") && !documented[name] || name == "MONITOR_DIR" && !documented[name] {
			t.Errorf("%s: there is no variable %s", container, name)
		}
	}
}
