package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

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
		{`env: [{name: A, value: 1}]`, "/env/0/value"},
		{`env: [{value: a}]`, "missing property 'name'"},
		{`env: [{name: A, value: a, valueFrom: {}}]`, "/env/0"},
		{`imagePullSecrets: [mirror]`, "/imagePullSecrets/0"},
		{`topologySpreadConstraints: [{topologyKey: a}]`, "/topologySpreadConstraints/0"},
		{`terminationGracePeriodSeconds: 0`, "/terminationGracePeriodSeconds"},
		{`logLevel: ""`, "/logLevel"},
		{`podDisruptionBudget: {maxUnavailable: 0}`, "/podDisruptionBudget/maxUnavailable"},
		{`podDisruptionBudget: {maxUnavailable: half}`, "/podDisruptionBudget/maxUnavailable"},
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
	var values map[string]any
	if err := yaml.Unmarshal([]byte(readFile(t, "charts/textnlp-operator/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	// Other charts put these in; they have no default.
	for _, foreign := range []string{"global", "enabled"} {
		delete(top.Properties, foreign)
	}
	compare(t, "", top, values)
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
