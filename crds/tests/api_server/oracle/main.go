// Validates the generated CRDs, and manifests against them, with the code of the API server itself
// (Kubernetes 1.34.4, pinned in go.mod). It fails if an API server would refuse a CRD.
//
//	cd crds/tests/api_server/oracle && go run . ../../../generationjob.yaml ../../../modeldeployment.yaml < ../cases.jsonl > ../answers.jsonl
//
// A case is {"name", "object", "old"?}; an answer is {"name", "causes": [{"path", "message"}]}.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

type kind struct {
	structural *schema.Structural
	values     validation.SchemaValidator
	rules      *cel.Validator
}

type testCase struct {
	Name   string                 `json:"name"`
	Object map[string]interface{} `json:"object"`
	Old    map[string]interface{} `json:"old,omitempty"`
}

type cause struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

func main() {
	kinds := map[string]kind{}
	for _, file := range os.Args[1:] {
		name, k := load(file)
		kinds[name] = k
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for lines.Scan() {
		var test testCase
		must(utiljson.Unmarshal(lines.Bytes(), &test))
		k, ok := kinds[fmt.Sprint(test.Object["kind"])]
		if !ok {
			continue
		}
		must(out.Encode(map[string]interface{}{"name": test.Name, "causes": k.causes(test)}))
	}
	must(lines.Err())
}

// load refuses a CRD that an API server would refuse, cost of the CEL rules included.
func load(file string) (string, kind) {
	text, err := os.ReadFile(file)
	must(err)
	var external apiv1.CustomResourceDefinition
	must(yaml.UnmarshalStrict(text, &external))
	apiv1.SetDefaults_CustomResourceDefinition(&external)
	apiv1.SetDefaults_CustomResourceDefinitionSpec(&external.Spec)
	var crd apiextensions.CustomResourceDefinition
	must(apiv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&external, &crd, nil))
	crd.Status.StoredVersions = []string{"v1alpha1"}
	if errs := crdvalidation.ValidateCustomResourceDefinition(context.Background(), &crd); len(errs) > 0 {
		for _, err := range errs {
			fmt.Fprintln(os.Stderr, file, err)
		}
		os.Exit(1)
	}
	props := crd.Spec.Validation.OpenAPIV3Schema
	structural, err := schema.NewStructural(props)
	must(err)
	values, _, err := validation.NewSchemaValidator(props)
	must(err)
	return crd.Spec.Names.Kind, kind{structural, values, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
}

func (k kind) causes(test testCase) []cause {
	delete(test.Object, "status")
	if test.Old != nil && test.Old["status"] != nil {
		test.Object["status"] = test.Old["status"]
	}
	causes := []cause{}
	unknown := pruning.PruneWithOptions(test.Object, k.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		causes = append(causes, cause{path, fmt.Sprintf("unknown field %q", path)})
	}
	var errs field.ErrorList
	k.complete(test.Object)
	if test.Old != nil {
		k.complete(test.Old)
	}
	errs = append(errs, validation.ValidateCustomResource(nil, test.Object, k.values)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, test.Object)...)
	blocked := false
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			blocked = true
		}
	}
	if !blocked {
		var old interface{}
		if test.Old != nil {
			old = test.Old
		}
		broken, _ := k.rules.Validate(context.Background(), nil, k.structural, test.Object, old, celconfig.RuntimeCELCostBudget)
		errs = append(errs, broken...)
	}
	for _, err := range errs {
		causes = append(causes, cause{err.Field, err.ErrorBody()})
	}
	return causes
}

func (k kind) complete(object map[string]interface{}) {
	defaulting.PruneNonNullableNullsWithoutDefaults(object, k.structural)
	defaulting.Default(object, k.structural)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
