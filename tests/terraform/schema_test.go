package terraform

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The schemas are written as `terraform providers schema -json` writes them; scripts/terraform-schemas.py makes them.
type (
	providerSchema struct {
		Version     string                                 `json:"version"`
		Provider    struct{ Block blockSchema }            `json:"provider"`
		Resources   map[string]struct{ Block blockSchema } `json:"resource_schemas"`
		DataSources map[string]struct{ Block blockSchema } `json:"data_source_schemas"`
	}
	blockSchema struct {
		Attributes map[string]attributeSchema `json:"attributes"`
		Blocks     map[string]nestedSchema    `json:"block_types"`
	}
	attributeSchema struct {
		Required bool `json:"required"`
		Optional bool `json:"optional"`
	}
	nestedSchema struct {
		Block blockSchema `json:"block"`
		Min   int         `json:"min_items"`
		Max   int         `json:"max_items"`
	}
)

var readSchemas = sync.OnceValues(func() (map[string]providerSchema, error) {
	found := map[string]providerSchema{}
	paths, err := filepath.Glob("schemas/*.json")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var schema providerSchema
		if err := json.Unmarshal(text, &schema); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found[strings.TrimSuffix(filepath.Base(path), ".json")] = schema
	}
	return found, nil
})

func schemas(t *testing.T) map[string]providerSchema {
	t.Helper()
	found, err := readSchemas()
	if err != nil || len(found) != 5 {
		t.Fatalf("%d schemas: %v", len(found), err)
	}
	return found
}

// schemaOf is the schema of a resource, data source or provider.
func schemaOf(t *testing.T, kind, name string) blockSchema {
	t.Helper()
	provider, _, _ := strings.Cut(name, "_")
	of := schemas(t)[provider]
	from := map[string]map[string]struct{ Block blockSchema }{"resource": of.Resources, "data": of.DataSources}[kind]
	if kind == "provider" {
		return of.Provider.Block
	}
	schema, known := from[name]
	if !known {
		t.Fatalf("no schema of the %s %s is known: scripts/terraform-schemas.py", kind, name)
	}
	return schema.Block
}

// Arguments and blocks that Terraform itself knows.
var metaArguments = []string{"alias", "count", "depends_on", "for_each", "lifecycle", "provider"}

// faults are the places where a body is not what its schema says.
func faults(body *hclsyntax.Body, schema blockSchema, where string, top bool) []string {
	var found []string
	for name := range body.Attributes {
		if top && slices.Contains(metaArguments, name) {
			continue
		}
		if attribute, known := schema.Attributes[name]; !known {
			found = append(found, fmt.Sprintf("%s has no argument %s", where, name))
		} else if !attribute.Required && !attribute.Optional {
			found = append(found, fmt.Sprintf("%s.%s cannot be set", where, name))
		}
	}
	for name, attribute := range schema.Attributes {
		if attribute.Required && body.Attributes[name] == nil {
			found = append(found, fmt.Sprintf("%s needs the argument %s", where, name))
		}
	}
	for _, block := range body.Blocks {
		name := block.Type
		if name == "dynamic" {
			name = block.Labels[0]
		}
		if _, known := schema.Blocks[name]; !known && !(top && slices.Contains(metaArguments, name)) {
			found = append(found, fmt.Sprintf("%s has no block %s", where, name))
		}
	}
	for name, of := range schema.Blocks {
		there := nested(body, name)
		if len(there) < of.Min {
			found = append(found, fmt.Sprintf("%s needs a block %s", where, name))
		}
		if of.Max > 0 && len(there) > of.Max {
			found = append(found, fmt.Sprintf("%s has %d blocks %s, and may have %d", where, len(there), name, of.Max))
		}
		for _, inner := range there {
			found = append(found, faults(inner, of.Block, where+"."+name, false)...)
		}
	}
	return found
}

func TestEveryArgumentAndBlockIsOneThatTheProviderHas(t *testing.T) {
	seen := 0
	for _, module := range modules(t) {
		for _, kind := range []string{"resource", "data", "provider"} {
			for name, block := range module.blocks(kind) {
				seen++
				for _, fault := range faults(block.Body, schemaOf(t, kind, block.Labels[0]), name, true) {
					t.Errorf("%s: %s", module.name, fault)
				}
			}
		}
	}
	if seen < 90 {
		t.Errorf("only %d blocks were found", seen)
	}
}

func TestTheSchemasFindWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`bucket_name = "a"`, "s3 has no argument bucket_name"},
		{`arn = "a"`, "s3.arn cannot be set"},
		{`encryption {}`, "s3 has no block encryption"},
	} {
		body := parse(t, test.text)
		if found := faults(body, schemaOf(t, "resource", "aws_s3_bucket"), "s3", true); !slices.Equal(found, []string{test.want}) {
			t.Errorf("%s: %q, want %q", test.text, found, test.want)
		}
	}
	found := faults(parse(t, `name = "a"`), schemaOf(t, "resource", "aws_eks_cluster"), "eks", true)
	slices.Sort(found)
	if want := []string{"eks needs a block vpc_config", "eks needs the argument role_arn"}; !slices.Equal(found, want) {
		t.Errorf("%q, want %q", found, want)
	}
}

func TestTheSchemasHoldNothingThatIsNotUsed(t *testing.T) {
	used := map[string]bool{}
	for _, module := range modules(t) {
		for _, kind := range []string{"resource", "data"} {
			for _, block := range module.blocks(kind) {
				used[kind+" "+block.Labels[0]] = true
			}
		}
	}
	for provider, schema := range schemas(t) {
		for name := range schema.Resources {
			if !used["resource "+name] {
				t.Errorf("schemas/%s.json has the resource %s, which nothing uses: scripts/terraform-schemas.py", provider, name)
			}
		}
		for name := range schema.DataSources {
			if !used["data "+name] {
				t.Errorf("schemas/%s.json has the data source %s, which nothing uses: scripts/terraform-schemas.py", provider, name)
			}
		}
	}
}
