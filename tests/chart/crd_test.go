package chart

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// schemaOf compiles the schema of a kind's CRD, with unknown fields refused as `kubectl apply` does. CEL rules are no part of it.
func schemaOf(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "crds/"+kind+".yaml")), &crd); err != nil {
		t.Fatal(err)
	}
	schema := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	// The API server knows the metadata of every object.
	schema["properties"].(map[string]any)["metadata"] = map[string]any{"type": "object"}
	for _, field := range []string{"apiVersion", "kind"} {
		schema["properties"].(map[string]any)[field] = map[string]any{"type": "string"}
	}
	refuseUnknown(schema)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4) // what structural schemas come from
	if err := compiler.AddResource("crd.json", any(schema)); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("crd.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// refuseUnknown refuses unknown fields in every object with known ones.
func refuseUnknown(schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	for _, property := range properties {
		refuseUnknown(property.(map[string]any))
	}
	if items, ok := schema["items"].(map[string]any); ok {
		refuseUnknown(items)
	}
	if values, ok := schema["additionalProperties"].(map[string]any); ok {
		refuseUnknown(values)
	}
	if properties != nil && schema["x-kubernetes-preserve-unknown-fields"] != true {
		schema["additionalProperties"] = false
	}
}

func TestTheObjectsOfTheHealthTestsAndTheExampleAreWhatTheCRDsDescribe(t *testing.T) {
	for directory, schema := range map[string]*jsonschema.Schema{
		"GenerationJob":   schemaOf(t, "generationjob"),
		"ModelDeployment": schemaOf(t, "modeldeployment"),
	} {
		paths, err := filepath.Glob(filepath.Join(root, "deploy/argocd/textnlp.dev", directory, "testdata/*.yaml"))
		if err != nil || len(paths) < 10 {
			t.Fatalf("%s: %d objects: %v", directory, len(paths), err)
		}
		found := objects{}
		for _, path := range paths {
			relative, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			for _, object := range parse(t, readFile(t, relative)) {
				found[relative] = object
			}
		}
		for _, example := range []string{"base", "cluster"} {
			for key, object := range build(t, "examples/airport-tickets/"+example) {
				if object["kind"] == directory {
					found[example+"/"+key] = object
				}
			}
		}
		for name, object := range found {
			if err := schema.Validate(map[string]any(object)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// schemas has compiled ones by kind: many renderings hold the same kinds.
var schemas sync.Map

// validate holds an object against the CRD of its kind.
func validate(t *testing.T, kind, name string, object map[string]any) {
	t.Helper()
	schema, known := schemas.Load(kind)
	if !known {
		schema = schemaOf(t, kind)
		schemas.Store(kind, schema)
	}
	if err := schema.(*jsonschema.Schema).Validate(object); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func TestTheExamplesForArtifactHubAreWhatTheCRDsDescribe(t *testing.T) {
	var examples []map[string]any
	if err := yaml.Unmarshal([]byte(annotation(t, "crdsExamples")), &examples); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, example := range examples {
		kind := fmt.Sprint(example["kind"])
		kinds = append(kinds, kind)
		validate(t, strings.ToLower(kind), kind, example)
	}
	if !slices.Equal(kinds, []string{"ModelDeployment", "GenerationJob"}) {
		t.Errorf("%q", kinds)
	}
}

func TestAFieldThatIsNotInTheCRDIsSeen(t *testing.T) {
	job := build(t, "examples/airport-tickets/base")["GenerationJob/airport-tickets"]
	job["spec"].(map[string]any)["sampling"].(map[string]any)["temprature"] = 1.0
	if err := schemaOf(t, "generationjob").Validate(map[string]any(job)); err == nil {
		t.Error("accepted")
	}
}
