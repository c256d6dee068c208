package chart

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

const helmTest = "textnlp-operator-test"

func TestHelmTestAddsHooksAndChangesNothingElse(t *testing.T) {
	without, with := render(t, `{}`), renderWithTests(t, `{}`)
	var added []string
	for key, object := range with {
		if without.has(key) {
			continue
		}
		added = append(added, key)
		annotations, _ := object["metadata"].(map[string]any)["annotations"].(map[string]any)
		if annotations["helm.sh/hook"] != "test" {
			t.Errorf("%s is no hook", key)
		}
	}
	slices.Sort(added)
	var want []string
	for _, kind := range []string{"GenerationJob", "NetworkPolicy", "Pod", "Role", "RoleBinding", "ServiceAccount"} {
		want = append(want, kind+"/"+helmTest)
	}
	if !slices.Equal(added, want) {
		t.Errorf("got  %q\nwant %q", added, want)
	}
}

func TestNothingOfTheOperatorTakesTheTestsPodForItsOwn(t *testing.T) {
	for _, values := range []string{variants["defaults"], variants["labels"], variants["other names"]} {
		all := renderWithTests(t, values)
		name := "textnlp-operator"
		if values == variants["other names"] {
			name = "text"
		}
		pod := as[corev1.Pod](t, all, "Pod/"+name+"-test")
		matches := func(selector map[string]string) bool {
			for label, value := range selector {
				if pod.Labels[label] != value {
					return false
				}
			}
			return true
		}
		if matches(as[appsv1.Deployment](t, all, "Deployment/"+name).Spec.Selector.MatchLabels) {
			t.Errorf("%s: %v", values, pod.Labels)
		}
		if policy := as[networkingv1.NetworkPolicy](t, all, "NetworkPolicy/"+name+"-test"); !matches(policy.Spec.PodSelector.MatchLabels) {
			t.Errorf("%s: its own policy selects %v", values, policy.Spec.PodSelector.MatchLabels)
		}
	}
}

func TestTheTestsAccountIsBoundToARoleThatReadsAlone(t *testing.T) {
	for _, values := range []string{variants["defaults"], variants["test of a model"]} {
		all := renderWithTests(t, values)
		role := as[rbacv1.Role](t, all, "Role/"+helmTest)
		binding := as[rbacv1.RoleBinding](t, all, "RoleBinding/"+helmTest)
		account := as[corev1.ServiceAccount](t, all, "ServiceAccount/"+helmTest)
		pod := as[corev1.Pod](t, all, "Pod/"+helmTest)
		subject := rbacv1.Subject{Kind: "ServiceAccount", Name: account.Name, Namespace: pod.Namespace}
		if !slices.Equal(binding.Subjects, []rbacv1.Subject{subject}) || pod.Spec.ServiceAccountName != account.Name || binding.RoleRef.Name != role.Name {
			t.Errorf("%v", binding)
		}
		job := all["GenerationJob/"+helmTest]["metadata"].(map[string]any)["namespace"]
		if role.Namespace != job || binding.Namespace != job || account.Namespace != "textnlp-system" {
			t.Errorf("the job is in %v, the role in %s, its binding in %s", job, role.Namespace, binding.Namespace)
		}
		for resource, verbs := range granted(role.Rules...) {
			for _, verb := range verbs {
				if verb != "get" && verb != "list" {
					t.Errorf("it may %s %s", verb, resource)
				}
			}
		}
	}
}

func TestTheProgramKnowsTheFlagsThatTheTestsPodGivesIt(t *testing.T) {
	pod := as[corev1.Pod](t, renderWithTests(t, `{}`), "Pod/"+helmTest)
	text := readFile(t, "cli/src/kubectl/args.rs")
	arguments := pod.Spec.Containers[0].Args
	if arguments[0] != "kubectl" || !strings.Contains(readFile(t, "cli/src/kubectl/mod.rs"), `const WORD: &str = "kubectl";`) {
		t.Errorf("%q is no word by which textnlp is the plugin", arguments[0])
	}
	for _, argument := range arguments {
		flag, is := strings.CutPrefix(argument, "--")
		flag, _, _ = strings.Cut(flag, "=")
		if is && !strings.Contains(text, "pub(crate) "+strings.ReplaceAll(flag, "-", "_")+":") {
			t.Errorf("cli/src/kubectl/args.rs has no flag %s", argument)
		}
	}
}

func TestTheSchemaOfTheTestsModelHasEveryFieldOfAModelDeployment(t *testing.T) {
	var crd map[string]any
	if err := yaml.Unmarshal([]byte(readFile(t, "crds/modeldeployment.yaml")), &crd); err != nil {
		t.Fatal(err)
	}
	version := crd["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
	fields := descend(t, version, "schema", "openAPIV3Schema", "properties", "spec", "properties")
	known := descend(t, values(t), "definitions", "model", "properties")
	for field := range fields {
		if _, is := known[field]; !is {
			t.Errorf("tests.model has no %s, which a ModelDeployment's spec has", field)
		}
	}
}

func descend(t *testing.T, from map[string]any, path ...string) map[string]any {
	t.Helper()
	for _, name := range path {
		below, is := from[name].(map[string]any)
		if !is {
			t.Fatalf("there is no %s", name)
		}
		from = below
	}
	return from
}

func TestArtifactHubIsToldTheImagesOfThisVersion(t *testing.T) {
	var images []struct{ Name, Image string }
	if err := yaml.Unmarshal([]byte(annotation(t, "images")), &images); err != nil {
		t.Fatal(err)
	}
	container := as[appsv1.Deployment](t, render(t, `{}`), operator).Spec.Template.Spec.Containers[0]
	want := map[string]string{"textnlp-operator": container.Image, "textnlp": container.Env[0].Value}
	for _, image := range images {
		if want[image.Name] != image.Image {
			t.Errorf("%s is %s, and %s is rendered", image.Name, image.Image, want[image.Name])
		}
		delete(want, image.Name)
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}

func TestWhatArtifactHubIsToldIsWhatItReads(t *testing.T) {
	for name, kinds := range map[string][]string{
		"links": {"name", "url"}, "changes": {"kind", "description"}, "recommendations": {"url"},
		"crds": {"kind", "version", "name", "displayName", "description"},
	} {
		var entries []map[string]any
		if err := yaml.Unmarshal([]byte(annotation(t, name)), &entries); err != nil || len(entries) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		for _, entry := range entries {
			for _, kind := range kinds {
				if text, is := entry[kind].(string); !is || text == "" {
					t.Errorf("%s: no %s in %v", name, kind, entry)
				}
			}
			if kind := fmt.Sprint(entry["kind"]); name == "changes" && !slices.Contains([]string{"added", "changed", "deprecated", "removed", "fixed", "security"}, kind) {
				t.Errorf("a change is of no kind %q", kind)
			}
		}
	}
	// What a link names must be in the repository.
	for line := range strings.Lines(annotation(t, "links")) {
		if _, path, is := strings.Cut(strings.TrimSpace(line), "/blob/main/"); is && readFile(t, path) == "" {
			t.Errorf("%s is empty", path)
		}
	}
}
