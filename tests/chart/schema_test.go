package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

func TestTheSchemaRefusesTyposAndWrongValuesAndNamesThem(t *testing.T) {
	for _, test := range []struct{ values, want string }{
		{`replica: 3`, "'replica' not allowed"},
		{`image: {tags: v1}`, "'tags' not allowed"},
		{`workloadImage: {repo: a}`, "'repo' not allowed"},
		{`crds: {installed: true}`, "'installed' not allowed"},
		{`rbac: {created: true}`, "'created' not allowed"},
		{`serviceAccount: {annotation: {}}`, "'annotation' not allowed"},
		{`networkPolicy: {apiServer: {port: 443}}`, "'port' not allowed"},
		{`networkPolicy: {ingressFrom: [{podSelectors: {}}]}`, "'podSelectors' not allowed"},
		{`networkPolicy: {extraEgress: [{from: []}]}`, "'from' not allowed"},
		{`serviceMonitor: {intervall: 30s}`, "'intervall' not allowed"},
		{`podDisruptionBudget: {minAvailable: 1}`, "'minAvailable' not allowed"},
		{`resources: {request: {cpu: 1}}`, "'request' not allowed"},
		{`securityContext: {readOnlyRootFileSystem: true}`, "'readOnlyRootFileSystem' not allowed"},
		{`podSecurityContext: {runAsNonroot: true}`, "'runAsNonroot' not allowed"},
		{`tolerations: [{keys: a}]`, "'keys' not allowed"},
		{`affinity: {nodeAffinities: {}}`, "'nodeAffinities' not allowed"},
		{`livenessProbe: {period: 5}`, "'period' not allowed"},
		{`replicas: two`, "/replicas"},
		{`replicas: -1`, "/replicas"},
		{`watchNamespaces: team-a`, "/watchNamespaces"},
		{`watchNamespaces: [Team_A]`, "/watchNamespaces/0"},
		{`watchNamespaces: ["team-a,team-b"]`, "/watchNamespaces/0"},
		{`watchNamespaces: [a, a]`, "/watchNamespaces"},
		{`image: {pullPolicy: Sometimes}`, "/image/pullPolicy"},
		{`image: {digest: "sha256:abc"}`, "/image/digest"},
		{`image: {tag: 1.0}`, "/image/tag"},
		{`image: {repository: "textnlp-operator:v1"}`, "/image/repository"},
		{`resources: {limits: {memory: 256 MiB}}`, "/resources/limits/memory"},
		{`serviceMonitor: {interval: 30}`, "/serviceMonitor/interval"},
		{`serviceMonitor: {interval: 30 s}`, "/serviceMonitor/interval"},
		{`podLabels: {mesh: false}`, "/podLabels/mesh"},
		{`podLabels: {app.kubernetes.io/name: mine}`, "/podLabels/app.kubernetes.io~1name"},
		{`commonLabels: {app.kubernetes.io/part-of: platform}`, "/commonLabels/app.kubernetes.io~1part-of"},
		{`podMonitor: {labels: {helm.sh/chart: a}}`, "/podMonitor/labels/helm.sh~1chart"},
		{`env: [{name: A, value: 1}]`, "/env/0/value"},
		{`env: [{value: a}]`, "missing property 'name'"},
		{`env: [{name: A, value: a, valueFrom: {}}]`, "/env/0"},
		{`imagePullSecrets: [mirror]`, "/imagePullSecrets/0"},
		{`topologySpreadConstraints: [{topologyKey: a}]`, "/topologySpreadConstraints/0"},
		{`terminationGracePeriodSeconds: 0`, "/terminationGracePeriodSeconds"},
		{`logLevel: ""`, "/logLevel"},
		{`podDisruptionBudget: {maxUnavailable: 0}`, "/podDisruptionBudget/maxUnavailable"},
		{`podDisruptionBudget: {maxUnavailable: half}`, "/podDisruptionBudget/maxUnavailable"},
		{`podMonitor: {authorization: {secret: {name: A_B}}}`, "/podMonitor/authorization/secret/name"},
		{`podMonitor: {metricRelabelings: [{target: a}]}`, "'target' not allowed"},
		{`prometheusRule: {additionalGroups: [{name: a}]}`, "missing property 'rules'"},
		{`prometheusRule: {additionalGroups: [{name: a, rules: [{alert: A, record: b, expr: c}]}]}`, "/prometheusRule/additionalGroups/0/rules/0"},
		{`prometheusRule: {additionalGroups: [{name: a, rules: [{alert: A}]}]}`, "missing property 'expr'"},
		{`dashboards: {labels: {grafana_dashboard: 1}}`, "/dashboards/labels/grafana_dashboard"},
		{`tests: {timeoutSeconds: 0}`, "/tests/timeoutSeconds"},
		{`tests: {model: {resources: {}}}`, "missing property 'source'"},
	} {
		t.Run(test.values, func(t *testing.T) {
			t.Parallel()
			text, err := helm(t, test.values, "template", "textnlp-operator", chart)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(text, test.want) {
				t.Errorf("%q is not in %s", test.want, text)
			}
		})
	}
}

// values is values.schema.json.
func values(t *testing.T) map[string]any {
	t.Helper()
	var schema map[string]any
	if err := json.Unmarshal([]byte(readFile(t, "charts/textnlp-operator/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// Objects that hold what Kubernetes or another program defines: its API server refuses what is wrong in them.
var open = []string{
	"global", "affinity/nodeAffinity", "affinity/podAffinity", "affinity/podAntiAffinity", "env/valueFrom", "model/cache", "model/engine", "model/pod",
	"model/price", "model/rollout", "model/scaling", "model/source", "peer/ipBlock", "peer/namespaceSelector", "peer/podSelector",
	"podSecurityContext/appArmorProfile", "podSecurityContext/seLinuxOptions", "podSecurityContext/sysctls", "resources/claims",
	"securityContext/appArmorProfile", "securityContext/seLinuxOptions", "spread/labelSelector",
}

func TestATypoIsRefusedAtEveryLevel(t *testing.T) {
	schema := values(t)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("values.json", schema); err != nil {
		t.Fatal(err)
	}
	var levels, found []string
	walk(schema, nil, "", func(pointer, name string, level map[string]any) {
		if level["type"] != "object" {
			return
		}
		if level["properties"] == nil && level["additionalProperties"] == nil {
			found = append(found, name)
			return
		}
		levels = append(levels, pointer)
		compiled, err := compiler.Compile("values.json#" + pointer)
		if err != nil {
			t.Fatal(err)
		}
		// Of a map of labels or quantities every name is right, but not every value.
		if err := compiled.Validate(map[string]any{"tpyo": []any{}}); err == nil {
			t.Errorf("%s takes any name", pointer)
		}
	})
	if len(levels) < 40 {
		t.Errorf("only %d levels: %q", len(levels), levels)
	}
	slices.Sort(found)
	if want := slices.Sorted(slices.Values(open)); !slices.Equal(found, want) {
		t.Errorf("open are %q\nexpected %q", found, want)
	}
}

// walk visits a schema and all below it, with its JSON pointer and the names of the values that lead there.
func walk(schema map[string]any, path []string, name string, visit func(pointer, name string, level map[string]any)) {
	pointer := ""
	for _, step := range path {
		pointer += "/" + step
	}
	visit(pointer, name, schema)
	for _, key := range []string{"properties", "definitions"} {
		below, _ := schema[key].(map[string]any)
		for child, value := range below {
			walk(value.(map[string]any), append(slices.Clone(path), key, child), strings.TrimPrefix(name+"/"+child, "/"), visit)
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if below, is := schema[key].(map[string]any); is {
			walk(below, append(slices.Clone(path), key), name, visit)
		}
	}
}

func TestAnAccountThatNobodyMakesMustBeNamed(t *testing.T) {
	text, err := helm(t, `serviceAccount: {create: false}`, "template", "textnlp-operator", chart)
	if err == nil || !strings.Contains(text, "serviceAccount.name is needed") {
		t.Errorf("%v: %s", err, text)
	}
}

// schema is the part of a JSON schema that the tests read.
type schema struct {
	Description          string            `json:"description"`
	Type                 any               `json:"type"`
	Default              any               `json:"default"`
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties any               `json:"additionalProperties"`
}

func TestTheSchemaDescribesEveryValueAndHasTheDefaultsOfValuesYaml(t *testing.T) {
	var top schema
	if err := json.Unmarshal([]byte(readFile(t, "charts/textnlp-operator/values.schema.json")), &top); err != nil {
		t.Fatal(err)
	}
	var given map[string]any
	if err := yaml.Unmarshal([]byte(readFile(t, "charts/textnlp-operator/values.yaml")), &given); err != nil {
		t.Fatal(err)
	}
	// Other charts put these in; they have no default.
	for _, foreign := range []string{"global", "enabled"} {
		delete(top.Properties, foreign)
	}
	compare(t, "", top, given)
}

func compare(t *testing.T, path string, described schema, values map[string]any) {
	t.Helper()
	if described.AdditionalProperties != false {
		t.Errorf("%q takes any name", path)
	}
	names := slices.Sorted(maps.Keys(described.Properties))
	if given := slices.Sorted(maps.Keys(values)); !slices.Equal(names, given) {
		t.Errorf("%q: the schema has %q, values.yaml %q", path, names, given)
	}
	for _, name := range names {
		property, at := described.Properties[name], strings.TrimPrefix(path+"."+name, ".")
		if len(property.Description) < 5 {
			t.Errorf("%s has no description", at)
		}
		if property.Properties != nil {
			below, _ := values[name].(map[string]any)
			compare(t, at, property, below)
			continue
		}
		if !reflect.DeepEqual(property.Default, values[name]) {
			t.Errorf("%s: the schema's default is %s, the one of values.yaml %s", at, fmt.Sprint(property.Default), fmt.Sprint(values[name]))
		}
	}
}
