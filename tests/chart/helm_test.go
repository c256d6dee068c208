// Package chart tests charts/textnlp-operator and what is made from it, with the real Helm: $HELM, or the one that
// tests/cluster/tool builds.
//
// What one value changes in one object stands in the chart's own suites (charts/textnlp-operator/tests, which helm-unittest runs). Here is
// what a suite cannot say: typed objects without unknown fields, the rules of other programs (pod security, CRDs, kustomize), the
// operator's source, the schema as a whole, files that the chart does not have yet.
package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

const (
	root  = "../.."
	chart = root + "/charts/textnlp-operator"
)

// objects are rendered manifests by kind and name, such as "Deployment/textnlp-operator".
type objects map[string]map[string]any

var helmPath = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("HELM"); path != "" {
		return path, nil
	}
	tool := exec.Command(filepath.Join(root, "tests/cluster/tool"), "helm")
	tool.Stderr = os.Stderr
	path, err := tool.Output()
	return strings.TrimSpace(string(path)), err
})

// helm runs Helm with values in YAML, and returns what it printed and whether it succeeded.
func helm(t *testing.T, values string, arguments ...string) (string, error) {
	t.Helper()
	program, err := helmPath()
	if err != nil {
		t.Fatalf("no helm: %v", err)
	}
	command := exec.Command(program, append(arguments, "--values", "-")...)
	command.Stdin = strings.NewReader(values)
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		return out.String() + problems.String(), fmt.Errorf("%w: %s", err, problems.String())
	}
	return out.String(), nil
}

// rendered has the output of Helm by values: many tests look at the same.
var rendered sync.Map

// render is `helm template` of a release named textnlp-operator in the namespace textnlp-system, without what `helm test` makes.
func render(t *testing.T, values string) objects {
	t.Helper()
	return template(t, chart, values, "--skip-tests")
}

// renderWithTests has what `helm test` makes, too.
func renderWithTests(t *testing.T, values string) objects {
	t.Helper()
	return template(t, chart, values)
}

func template(t *testing.T, directory, values string, flags ...string) objects {
	t.Helper()
	return parse(t, templateText(t, directory, values, flags...))
}

// templateText is what Helm prints, word for word.
func templateText(t *testing.T, directory, values string, flags ...string) string {
	t.Helper()
	key := fmt.Sprint(directory, flags, values)
	if text, known := rendered.Load(key); known {
		return text.(string)
	}
	arguments := []string{"template", "textnlp-operator", directory, "--namespace", "textnlp-system", "--kube-version", "1.34.0"}
	text, err := helm(t, values, append(arguments, flags...)...)
	if err != nil {
		t.Fatalf("helm template with %s: %v", values, err)
	}
	rendered.Store(key, text)
	return text
}

// parse reads YAML documents. Two objects of one kind and name must differ in namespace, which is then part of the key.
func parse(t *testing.T, text string) objects {
	t.Helper()
	found := objects{}
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
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
		metadata, _ := object["metadata"].(map[string]any)
		key := fmt.Sprintf("%s/%s", object["kind"], metadata["name"])
		if _, twice := found[key]; twice {
			key = fmt.Sprintf("%s/%s/%s", object["kind"], metadata["namespace"], metadata["name"])
		}
		if _, twice := found[key]; twice {
			t.Fatalf("%s is rendered twice", key)
		}
		found[key] = object
	}
}

// as decodes one object into its Kubernetes type and refuses fields that the type does not have.
func as[T any](t *testing.T, from objects, key string) T {
	t.Helper()
	var typed T
	object, there := from[key]
	if !there {
		t.Fatalf("%s is not among %v", key, from.keys())
	}
	text, err := json.Marshal(object)
	if err == nil {
		err = strict.UnmarshalStrict(text, &typed)
	}
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return typed
}

// check decodes every object into its type, so that a misspelt field is found.
func (o objects) check(t *testing.T) {
	t.Helper()
	for key, object := range o {
		switch object["kind"] {
		case "Deployment":
			as[appsv1.Deployment](t, o, key)
		case "Service":
			as[corev1.Service](t, o, key)
		case "ServiceAccount":
			as[corev1.ServiceAccount](t, o, key)
		case "Namespace":
			as[corev1.Namespace](t, o, key)
		case "NetworkPolicy":
			as[networkingv1.NetworkPolicy](t, o, key)
		case "PodDisruptionBudget":
			as[policyv1.PodDisruptionBudget](t, o, key)
		case "Role":
			as[rbacv1.Role](t, o, key)
		case "RoleBinding":
			as[rbacv1.RoleBinding](t, o, key)
		case "ClusterRole":
			as[rbacv1.ClusterRole](t, o, key)
		case "ClusterRoleBinding":
			as[rbacv1.ClusterRoleBinding](t, o, key)
		case "Pod":
			as[corev1.Pod](t, o, key)
		case "ConfigMap":
			as[corev1.ConfigMap](t, o, key)
		case "ServiceMonitor":
			as[monitoringv1.ServiceMonitor](t, o, key)
		case "PodMonitor":
			as[monitoringv1.PodMonitor](t, o, key)
		case "PrometheusRule":
			as[monitoringv1.PrometheusRule](t, o, key)
		case "GenerationJob":
			validate(t, "generationjob", key, object)
		case "ModelDeployment":
			validate(t, "modeldeployment", key, object)
		case "CustomResourceDefinition": // an API server reads them
		default:
			t.Errorf("%s: this test knows no such kind", key)
		}
	}
}

func (o objects) keys() []string {
	var keys []string
	for key := range o {
		keys = append(keys, key)
	}
	return keys
}

func (o objects) has(key string) bool {
	_, there := o[key]
	return there
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
