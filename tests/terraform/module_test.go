// Package terraform tests terraform/ as text: its form, its references, its arguments against the providers' schemas (schemas/), and what
// has to agree with the operator, the chart and the CRDs. It needs neither Terraform nor a provider.
package terraform

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const (
	root = "../.."
	tree = root + "/terraform"
)

// module is a directory with Terraform's files.
type module struct {
	// name is the path below terraform/, such as modules/eks.
	name string
	// files are the parsed .tf files by name.
	files map[string]*hclsyntax.Body
}

// parsed reads all modules once.
var parsed = sync.OnceValues(func() (map[string]*module, error) {
	modules := map[string]*module{}
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".tf" || strings.Contains(path, "/.terraform/") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, problems := hclsyntax.ParseConfig(text, path, hcl.InitialPos)
		if problems.HasErrors() {
			return problems
		}
		name, err := filepath.Rel(tree, filepath.Dir(path))
		if err != nil {
			return err
		}
		if modules[name] == nil {
			modules[name] = &module{name: name, files: map[string]*hclsyntax.Body{}}
		}
		modules[name].files[filepath.Base(path)] = file.Body.(*hclsyntax.Body)
		return nil
	})
	return modules, err
})

func modules(t *testing.T) []*module {
	t.Helper()
	found, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 12 {
		t.Fatalf("there are %d modules; tell this test of a new one: %v", len(found), slices.Sorted(maps.Keys(found)))
	}
	list := make([]*module, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[name])
	}
	return list
}

func named(t *testing.T, name string) *module {
	t.Helper()
	for _, module := range modules(t) {
		if module.name == name {
			return module
		}
	}
	t.Fatalf("there is no %s", name)
	return nil
}

// blocks are the module's top-level blocks of a type, such as variable, by their labels joined with dots.
func (m *module) blocks(kind string) map[string]*hclsyntax.Block {
	found := map[string]*hclsyntax.Block{}
	for _, body := range m.files {
		for _, block := range body.Blocks {
			if block.Type == kind {
				found[strings.Join(block.Labels, ".")] = block
			}
		}
	}
	return found
}

// locals are the module's local values.
func (m *module) locals() map[string]hclsyntax.Expression {
	found := map[string]hclsyntax.Expression{}
	for _, body := range m.files {
		for _, block := range body.Blocks {
			if block.Type == "locals" {
				for name, attribute := range block.Body.Attributes {
					found[name] = attribute.Expr
				}
			}
		}
	}
	return found
}

// nested finds the blocks at a path of types below a body; a `dynamic` block counts as one of its type.
func nested(body *hclsyntax.Body, path ...string) []*hclsyntax.Body {
	if len(path) == 0 {
		return []*hclsyntax.Body{body}
	}
	var found []*hclsyntax.Body
	for _, block := range body.Blocks {
		if block.Type == path[0] {
			found = append(found, nested(block.Body, path[1:]...)...)
		}
		if block.Type == "dynamic" && block.Labels[0] == path[0] {
			for _, content := range block.Body.Blocks {
				found = append(found, nested(content.Body, path[1:]...)...)
			}
		}
	}
	return found
}

// literal is the text of an attribute that is a plain string, or "".
func literal(body *hclsyntax.Body, name string) string {
	attribute := body.Attributes[name]
	if attribute == nil {
		return ""
	}
	value, problems := attribute.Expr.Value(nil)
	if problems.HasErrors() || value.Type().FriendlyName() != "string" {
		return ""
	}
	return value.AsString()
}
