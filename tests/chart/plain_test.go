package chart

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func TestGeneratedFilesAreFresh(t *testing.T) {
	program, err := helmPath()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(filepath.Join(root, "scripts/generate-manifests.sh"), "--check")
	command.Env = append(command.Environ(), "HELM="+program)
	if text, err := command.CombinedOutput(); err != nil {
		t.Errorf("%s", text)
	}
}

func TestTheCRDsOfTheChartAreTheRepositorysAndOutliveTheRelease(t *testing.T) {
	kept := render(t, `{}`)
	dropped := render(t, variants["CRD annotations"])
	for _, kind := range []string{"generationjob", "modeldeployment"} {
		key := "CustomResourceDefinition/" + kind + "s.textnlp.dev"
		var want map[string]any
		if err := yaml.Unmarshal([]byte(readFile(t, "crds/"+kind+".yaml")), &want); err != nil {
			t.Fatal(err)
		}
		if got := kept[key]["spec"]; !reflect.DeepEqual(got, want["spec"]) {
			t.Errorf("%s: the spec is not the one of crds/%s.yaml", key, kind)
		}
		annotations := func(from objects) any { return from[key]["metadata"].(map[string]any)["annotations"] }
		if got := annotations(kept); !reflect.DeepEqual(got, map[string]any{"helm.sh/resource-policy": "keep"}) {
			t.Errorf("%s: %v", key, got)
		}
		if got := annotations(dropped); !reflect.DeepEqual(got, map[string]any{"argocd.argoproj.io/sync-options": "Prune=false"}) {
			t.Errorf("%s: %v", key, got)
		}
	}
}

func TestPlainYamlIsTheChartsOutputAndANamespaceThatEnforcesTheRestrictedStandard(t *testing.T) {
	plain := build(t, "deploy")
	plain.check(t)
	namespace, _ := plain["Namespace/textnlp-system"]["metadata"].(map[string]any)
	if labels := namespace["labels"]; !reflect.DeepEqual(labels, map[string]any{"pod-security.kubernetes.io/enforce": "restricted"}) {
		t.Errorf("%v", labels)
	}
	delete(plain, "Namespace/textnlp-system")
	want := render(t, `{}`)
	if got, want := slices.Sorted(maps.Keys(plain)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	// Helm's own labels are on the pods, too.
	for _, label := range []string{"helm.sh/chart", "app.kubernetes.io/managed-by"} {
		unstructured.RemoveNestedField(want[operator], "spec", "template", "metadata", "labels", label)
	}
	for key, object := range plain {
		for _, part := range []string{"spec", "rules", "subjects", "roleRef"} {
			if !reflect.DeepEqual(object[part], want[key][part]) {
				t.Errorf("%s: %s differs from the chart's", key, part)
			}
		}
	}
	if text := readFile(t, "deploy/operator.yaml") + readFile(t, "deploy/crds.yaml"); strings.Contains(text, "helm.sh/") || strings.Contains(text, "managed-by: Helm") {
		t.Error("plain YAML says that Helm owns it")
	}
}

func TestTheExampleOnAClusterDiffersFromTheLocalOneOnlyInModelAndExecution(t *testing.T) {
	base, cluster := build(t, "examples/airport-tickets/base"), build(t, "examples/airport-tickets/cluster")
	if got, want := slices.Sorted(maps.Keys(cluster)), slices.Sorted(maps.Keys(base)); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for key, object := range cluster {
		if namespace := object["metadata"].(map[string]any)["namespace"]; namespace != "airport-tickets" {
			t.Errorf("%s is in %v", key, namespace)
		}
	}
	if !reflect.DeepEqual(base["ConfigMap/airports"]["data"], cluster["ConfigMap/airports"]["data"]) {
		t.Error("the source differs")
	}
	job := cluster["GenerationJob/airport-tickets"]["spec"].(map[string]any)
	execution := job["execution"].(map[string]any)
	if fmt.Sprint(execution["parallelism"]) != "2" {
		t.Errorf("%v", execution)
	}
	delete(job, "execution") // in no hash
	if !reflect.DeepEqual(base["GenerationJob/airport-tickets"]["spec"], any(job)) {
		t.Error("a field that decides the dataset differs")
	}
	source := cluster["ModelDeployment/smollm2"]["spec"].(map[string]any)["source"]
	want := map[string]any{"persistentVolumeClaim": map[string]any{"claimName": "models", "path": "SmolLM2-135M-Instruct.Q4_1.gguf"}}
	if !reflect.DeepEqual(source, want) {
		t.Errorf("%v", source)
	}
}

// build is `kubectl kustomize`.
func build(t *testing.T, directory string) objects {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, directory))
	if err != nil {
		t.Fatal(err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}
