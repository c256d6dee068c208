package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// schemas is the directory of the schemas, which `tests/cluster/tool kubeconform` makes once.
func schemas(t *testing.T) string {
	t.Helper()
	program := os.Getenv("KUBECONFORM")
	if program == "" {
		command := exec.Command("../cluster/tool", "kubeconform")
		command.Stderr = os.Stderr
		path, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		program = strings.TrimSpace(string(path))
	}
	return filepath.Join(filepath.Dir(program), "schemas")
}

// check is what the program prints about a text, and how it ends.
func check(t *testing.T, text string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run([]string{"--schemas", schemas(t), "--crds", "../../crds"}, strings.NewReader(text), &out)
	return out.String(), err
}

func TestMistakesAreFoundAndSaidWhere(t *testing.T) {
	const (
		configMap   = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
		application = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: a}\nspec: {project: p, destination: {namespace: n}, "
		deployment  = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {selector: {}, template: {metadata: {}, spec: {containers: [{name: c, "
	)
	for name, wrong := range map[string]struct{ text, want string }{
		"a field that is not there":        {configMap + "dat: {}", "additional properties 'dat' not allowed"},
		"one of the metadata":              {"apiVersion: v1\nkind: ConfigMap\nmetadata: {nam: a}", "'/metadata': additional properties 'nam' not allowed"},
		"a deep one":                       {deployment + "imagePullPolice: Always}]}}}", "'/spec/template/spec/containers/0': additional properties 'imagePullPolice' not allowed"},
		"the wrong type":                   {deployment + "ports: [{containerPort: http}]}]}}}", "ports/0/containerPort': got string, want integer"},
		"what is missing":                  {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}", "missing properties 'selector', 'template'"},
		"a key that is there twice":        {configMap + "data: {a: b}\ndata: {a: c}", "already set"},
		"a kind that is not there":         {"apiVersion: v1\nkind: ConfigMaps\nmetadata: {name: a}", "could not find schema for ConfigMaps"},
		"a version that is not there":      {"apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a}", "could not find schema for Deployment"},
		"a field of ours":                  {"apiVersion: textnlp.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: a}\nspec: {source: {file: {pat: a}}}", "'/spec/source/file'"},
		"a value of ours":                  {"apiVersion: textnlp.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: a}\nspec: {source: {url: {url: ftp://a, sha256: b}}}", "does not match pattern"},
		"ours without what it must have":   {"apiVersion: textnlp.dev/v1alpha1\nkind: GenerationJob\nmetadata: {name: a}\nspec: {}", "missing property 'columns'"},
		"a field of Argo CD":               {application + "source: {repoURL: r, pth: p}}", "additional properties 'pth' not allowed"},
		"a field of Flux":                  {"apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: a}\nspec: {url: \"https://a\", interval: 1m, tag: v1}", "additional properties 'tag' not allowed"},
		"a value of Flux":                  {"apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: a}\nspec: {url: \"https://a\", interval: often}", "does not match pattern"},
		"a field of Prometheus' operator":  {"apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: a}\nspec: {selector: {}, endpoints: [{prt: http}]}", "additional properties 'prt' not allowed"},
		"no object":                        {"[]", "error"},
		"one that is not valid of several": {configMap + "---\n" + configMap + "dat: {}\n---\n" + configMap, "additional properties 'dat' not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := check(t, wrong.text)
			if err == nil || !strings.Contains(out, wrong.want) {
				t.Errorf("%v: %q does not say %q", err, out, wrong.want)
			}
		})
	}
}

func TestWhatAnAPIServerTakesIsValid(t *testing.T) {
	for name, text := range map[string]string{
		"a quantity as a number":       "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, resources: {requests: {cpu: 2, memory: 1Gi}}}]}",
		"a port by its name":           "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80, targetPort: http}]}",
		"a port by its number":         "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80, targetPort: 8080}]}",
		"anything where anything goes": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a}\nspec: {interval: 1m, chartRef: {kind: OCIRepository, name: a}, values: {a: [b, {c: d}]}}",
		"a GPU as a number":            "apiVersion: textnlp.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: a}\nspec: {source: {file: {path: a}}, resources: {limits: {nvidia.com/gpu: 1}}}",
		"comments between documents":   "# one\n---\n# two\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n",
	} {
		if out, err := check(t, text); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	if out, err := check(t, string(file(t, "../../crds/generationjob.yaml"))); err != nil {
		t.Errorf("a CRD: %v: %s", err, out)
	}
}

func TestNothingIsNotValid(t *testing.T) {
	for _, text := range []string{"", "# a comment\n", "---\n---\n"} {
		if out, err := check(t, text); err == nil || !strings.Contains(err.Error(), "no object") {
			t.Errorf("%q: %v: %s", text, err, out)
		}
	}
	if err := run([]string{"--schemas", schemas(t), "no-such-file.yaml"}, nil, os.Stdout); err == nil {
		t.Error("a file that is not there is valid")
	}
	if err := run([]string{"--schemas", t.TempDir() + "/none"}, nil, os.Stdout); err == nil || !strings.Contains(err.Error(), "kubeconform build") {
		t.Errorf("%v", err)
	}
	if err := run([]string{"--schemas", schemas(t), "--crds", t.TempDir()}, nil, os.Stdout); err == nil {
		t.Error("a directory without CRDs has CRDs")
	}
}

func TestKubernetesHasTheVersionOfTheTestCluster(t *testing.T) {
	found := regexp.MustCompile(`k8s\.io/kubernetes (v\S+)`).FindSubmatch(file(t, "../cluster/testcluster/go.mod"))
	if found == nil || sources[0].module != "k8s.io/kubernetes" || string(found[1]) != sources[0].version {
		t.Errorf("the cluster has %s, the schemas are of %s", found, sources[0].version)
	}
}

func file(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
