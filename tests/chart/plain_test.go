package chart

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
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
	if text := readFile(t, "deploy/base/operator.yaml") + readFile(t, "deploy/base/crds/crds.yaml"); strings.Contains(text, "helm.sh/") || strings.Contains(text, "managed-by: Helm") {
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

func TestWhatTheExampleNeedsIsThereAndMeetsTheStandardOfItsNamespace(t *testing.T) {
	needed := build(t, "examples/airport-tickets/claim")
	cluster := build(t, "examples/airport-tickets/cluster")
	source := cluster["ModelDeployment/smollm2"]["spec"].(map[string]any)["source"].(map[string]any)
	claim := source["persistentVolumeClaim"].(map[string]any)["claimName"].(string)
	volume := as[corev1.PersistentVolumeClaim](t, needed, "PersistentVolumeClaim/"+claim)
	namespace := as[corev1.Namespace](t, needed, "Namespace/"+volume.Namespace)
	if namespace.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("%v", namespace.Labels)
	}
	pod := as[corev1.Pod](t, needed, "Pod/copy")
	for _, violation := range violations(t, pod.ObjectMeta, pod.Spec) {
		t.Error(violation)
	}
	if len(needed) != 3 {
		t.Errorf("%v", needed.keys())
	}
}

func TestTheComponentAddsTheHealthScriptsToArgoCDsOwnConfiguration(t *testing.T) {
	own := t.TempDir()
	component, err := filepath.Abs(filepath.Join(root, "deploy/argocd"))
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(own, component)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"argocd-cm.yaml":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm}\ndata: {url: https://argocd.example.com}\n",
		"kustomization.yaml": "resources: [argocd-cm.yaml]\ncomponents: [" + relative + "]\n",
	} {
		if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := as[corev1.ConfigMap](t, kustomize(t, own), "ConfigMap/argocd-cm").Data
	want := map[string]string{
		"url": "https://argocd.example.com",
		"resource.customizations.health.argoproj.io_Application":     readFile(t, "deploy/argocd/argoproj.io/Application/health.lua"),
		"resource.customizations.health.textnlp.dev_GenerationJob":   readFile(t, "deploy/argocd/textnlp.dev/GenerationJob/health.lua"),
		"resource.customizations.health.textnlp.dev_ModelDeployment": readFile(t, "deploy/argocd/textnlp.dev/ModelDeployment/health.lua"),
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTheKustomizationOfTheInstallPageChangesBothImages(t *testing.T) {
	_, rest, _ := strings.Cut(readFile(t, "docs/install.md"), "Changes belong in a kustomization")
	_, rest, found := strings.Cut(rest, "```yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("docs/install.md has no such example")
	}
	own := t.TempDir()
	deploy, err := filepath.Abs(filepath.Join(root, "deploy"))
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(own, deploy)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.Replace(text, "- deploy ", "- "+relative+" ", 1)
	if err := os.WriteFile(filepath.Join(own, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	container := as[appsv1.Deployment](t, kustomize(t, own), operator).Spec.Template.Spec.Containers[0]
	if container.Image != "mirror.example.com/textnlp-operator:0.1.0" {
		t.Error(container.Image)
	}
	if image := container.Env[0]; image.Name != "TEXTNLP_IMAGE" || image.Value != "mirror.example.com/textnlp:0.1.0" {
		t.Errorf("%+v", image)
	}
}

// build is `kubectl kustomize` of a directory of the repository.
func build(t *testing.T, directory string) objects {
	t.Helper()
	return kustomize(t, filepath.Join(root, directory))
}

func kustomize(t *testing.T, directory string) objects {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), directory)
	if err != nil {
		t.Fatal(err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}
