package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// The file of everything that Kubernetes' schemas share.
const definitions = "_definitions.json"

// Where it lies, seen from the schema of a kind.
const beside = "../" + definitions

const objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

type schema = map[string]any

// Types that Kubernetes' OpenAPI calls texts, and that its decoders take from numbers, too; and those that may be anything.
var loose = map[string]schema{
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": []any{"integer", "string"}},
	"io.k8s.apimachinery.pkg.api.resource.Quantity":   {"type": []any{"number", "string"}},
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1":   {"type": "object"},
	"io.k8s.apimachinery.pkg.runtime.RawExtension":    {"type": "object"},
	"io.k8s.apimachinery.pkg.apis.meta.v1.Patch":      {"type": "object"},
}

// writeKubernetes writes a schema for each kind of Kubernetes' OpenAPI document (version 2).
func writeKubernetes(directory, openAPI string) error {
	text, err := os.ReadFile(openAPI)
	if err != nil {
		return err
	}
	var document struct {
		Definitions map[string]schema `json:"definitions"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return fmt.Errorf("%s: %w", openAPI, err)
	}
	strict := schema{}
	for name, definition := range document.Definitions {
		strict[name] = closed(definition, true)
		if exception, is := loose[name]; is {
			strict[name] = exception
		}
		for _, kind := range list(definition["x-kubernetes-group-version-kind"]) {
			id := kind.(schema)
			file := path(id["group"].(string), id["version"].(string), id["kind"].(string))
			if err := write(directory, file, schema{"$ref": beside + "#/definitions/" + name}); err != nil {
				return err
			}
		}
	}
	return write(directory, definitions, schema{"definitions": strict})
}

// writeCRDs writes a schema for each kind and version of the CRDs in `crds`, a file or a directory. `shared` is where the
// definitions lie, seen from the schemas.
func writeCRDs(directory, crds, shared string) error {
	files, err := filepath.Glob(filepath.Join(crds, "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		files = []string{crds}
	}
	written := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var crd definition
		if err := yaml.Unmarshal(text, &crd); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, version := range crd.Spec.Versions {
			resource := closed(version.Schema.OpenAPIV3Schema, true)
			properties := resource["properties"].(schema)
			text := schema{"type": "string"}
			properties["apiVersion"], properties["kind"] = text, text
			properties["metadata"] = schema{"$ref": shared + "#/definitions/" + objectMeta}
			if err := write(directory, path(crd.Spec.Group, version.Name, crd.Spec.Names.Kind), resource); err != nil {
				return err
			}
			written++
		}
	}
	if written == 0 {
		return fmt.Errorf("%s: there is no CRD", crds)
	}
	return nil
}

// definition is what is read of a CustomResourceDefinition.
type definition struct {
	Spec struct {
		Group    string                `json:"group"`
		Names    struct{ Kind string } `json:"names"`
		Versions []struct {
			Name   string `json:"name"`
			Schema struct {
				OpenAPIV3Schema schema `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

// closed is the JSON Schema (draft 4) of an OpenAPI schema. An object that lists its fields has no others, where `strict`.
func closed(from schema, strict bool) schema {
	to := schema{}
	for key, value := range from {
		switch key {
		case "properties":
			properties := schema{}
			for name, property := range value.(schema) {
				properties[name] = closed(property.(schema), strict)
			}
			to[key] = properties
		case "items", "additionalProperties", "not":
			if inner, is := value.(schema); is {
				value = closed(inner, strict && key != "not")
			}
			to[key] = value
		case "allOf", "anyOf", "oneOf": // they speak of fields that are listed beside them
			var parts []any
			for _, part := range list(value) {
				parts = append(parts, closed(part.(schema), false))
			}
			to[key] = parts
		case "$ref", "type", "required", "enum", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
			"multipleOf", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties":
			to[key] = value
		}
	}
	if from["x-kubernetes-int-or-string"] == true {
		to["type"] = []any{"integer", "string"}
	}
	if kind, is := to["type"].(string); is && from["nullable"] == true {
		to["type"] = []any{kind, "null"}
		if values, is := to["enum"].([]any); is {
			to["enum"] = append(values, nil)
		}
	}
	_, lists := to["properties"]
	_, open := to["additionalProperties"]
	if strict && lists && !open && from["x-kubernetes-preserve-unknown-fields"] != true {
		to["additionalProperties"] = false
	}
	return to
}

// path is where kubeconform looks for a kind: its lower-case name below its group, or below its version if it has none.
func path(group, version, kind string) string {
	if group == "" {
		group = version
	}
	return filepath.Join(group, strings.ToLower(kind)+"_"+version+".json")
}

func write(directory, file string, content schema) error {
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	full := filepath.Join(directory, file)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	return os.WriteFile(full, text, 0o644)
}

func list(value any) []any {
	items, _ := value.([]any)
	return items
}
