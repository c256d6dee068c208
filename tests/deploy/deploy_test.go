// Package deploy tests what lies in deploy/: overlays, Compose, and the examples for Argo CD and Flux.
package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	strict "sigs.k8s.io/yaml"
)

const root = "../.."

// objects are manifests by kind and name; those in a namespace of ours have it in front of the name if it is not the operator's.
type objects map[string]map[string]any

func TestEveryPathThatTheDocumentationNamesIsThere(t *testing.T) {
	paths := regexp.MustCompile("(?:^|[\\s`\"(])((?:deploy|examples/airport-tickets)/[\\w./-]+)")
	var files []string
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md", "*.md", "deploy/*.md", "deploy/*/*.yaml", "deploy/*/*/*.yaml",
		"deploy/*/*/*/*.yaml", "charts/*/README.md", "charts/*/values.schema.json", "charts/*/templates/NOTES.txt"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	made := []string{"deploy/compose/secrets", "deploy/compose/models", "deploy/compose/datasets"} // by `setup`
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range paths.FindAllSubmatch(text, -1) {
			seen++
			path := strings.TrimRight(string(match[1]), "./")
			if _, err := os.Stat(filepath.Join(root, path)); err != nil && !slices.Contains(made, path) {
				t.Errorf("%s names %s: %v", file, path, err)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d paths were found", seen)
	}
}

var built = map[string]objects{}

// build is `kubectl kustomize` of a directory. Several tests look at the same result: none may change it.
func build(t *testing.T, directory string) objects {
	t.Helper()
	if known, is := built[directory]; is {
		return known
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), directory)
	if err != nil {
		t.Fatalf("%s: %v", directory, err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	built[directory] = parse(t, text)
	return built[directory]
}

func inRoot(path string) string { return filepath.Join(root, path) }

func parse(t *testing.T, text []byte) objects {
	t.Helper()
	found := objects{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var object map[string]any
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("no YAML: %v\n%s", err, text)
		}
		if object == nil {
			continue
		}
		key := fmt.Sprintf("%s/%s", object["kind"], metadata(object)["name"])
		if _, twice := found[key]; twice {
			t.Fatalf("%s is there twice", key)
		}
		found[key] = object
	}
}

// render is `helm template` of a chart with values.
func render(t *testing.T, chart string, values any) objects {
	t.Helper()
	helm := os.Getenv("HELM")
	if helm == "" {
		helm = tool(t, "helm")
	}
	text, err := strict.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(helm, "template", "textnlp-operator", inRoot(chart), "--namespace", "textnlp-system",
		"--kube-version", "1.34.0", "--values", "-")
	command.Stdin = bytes.NewReader(text)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	rendered, err := command.Output()
	if err != nil {
		t.Fatalf("helm template with %s: %v\n%s", text, err, &complaint)
	}
	return parse(t, rendered)
}

func tool(t *testing.T, name string) string {
	t.Helper()
	command := exec.Command(inRoot("tests/cluster/tool"), name)
	command.Stderr = os.Stderr
	path, err := command.Output()
	if err != nil {
		t.Fatalf("tests/cluster/tool %s: %v", name, err)
	}
	return strings.TrimSpace(string(path))
}

// conform fails if kubeconform finds fault with one of these manifests, which have a name each.
func conform(t *testing.T, manifests map[string]objects) {
	t.Helper()
	directory := t.TempDir()
	var files []string
	for name, all := range manifests {
		var text bytes.Buffer
		for _, object := range all {
			document, err := strict.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			text.WriteString("---\n")
			text.Write(document)
		}
		file := filepath.Join(directory, strings.ReplaceAll(name, "/", "_")+".yaml")
		if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if text, err := exec.Command(inRoot("scripts/kubeconform.sh"), files...).CombinedOutput(); err != nil {
		t.Errorf("kubeconform: %v\n%s", err, text)
	}
}

// manifest is one file with one object.
func manifest(t *testing.T, path string) map[string]any {
	t.Helper()
	found := parse(t, read(t, path))
	if len(found) != 1 {
		t.Fatalf("%s has %d objects", path, len(found))
	}
	for _, object := range found {
		return object
	}
	return nil
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(inRoot(path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// as decodes an object into its type and refuses fields that the type does not have.
func as[T any](t *testing.T, object any) T {
	t.Helper()
	var typed T
	text, err := json.Marshal(object)
	if err == nil {
		err = strict.UnmarshalStrict(text, &typed)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return typed
}

func metadata(object map[string]any) map[string]any {
	found, _ := object["metadata"].(map[string]any)
	return found
}

// field is what lies at a path of an object; nil if nothing does.
func field(object any, path ...string) any {
	for _, name := range path {
		inner, is := object.(map[string]any)
		if !is {
			return nil
		}
		object = inner[name]
	}
	return object
}

// of are the objects of a kind.
func (o objects) of(kind string) objects {
	found := objects{}
	for key, object := range o {
		if object["kind"] == kind {
			found[key] = object
		}
	}
	return found
}
