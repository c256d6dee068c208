package terraform

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Names that are no objects of a module.
var builtin = []string{"count", "each", "path", "self", "terraform"}

// references are all that the expressions of a body refer to. `type` of a variable is no expression.
func references(body *hclsyntax.Body, iterators ...string) []hcl.Traversal {
	var found []hcl.Traversal
	add := func(expression hclsyntax.Expression) {
		for _, traversal := range expression.Variables() {
			if !slices.Contains(iterators, traversal.RootName()) {
				found = append(found, traversal)
			}
		}
	}
	for name, attribute := range body.Attributes {
		if name != "ignore_changes" && name != "type" {
			add(attribute.Expr)
		}
		if name == "type" && attribute.Expr.Variables() != nil {
			if _, isCall := attribute.Expr.(*hclsyntax.TemplateExpr); isCall {
				add(attribute.Expr)
			}
			if _, isTraversal := attribute.Expr.(*hclsyntax.ScopeTraversalExpr); isTraversal && len(attribute.Expr.Variables()[0]) > 1 {
				add(attribute.Expr)
			}
		}
	}
	for _, block := range body.Blocks {
		switch {
		case block.Type == "dynamic":
			for name, attribute := range block.Body.Attributes {
				if name != "iterator" {
					add(attribute.Expr)
				}
			}
			for _, content := range block.Body.Blocks {
				found = append(found, references(content.Body, append(slices.Clone(iterators), block.Labels[0])...)...)
			}
		case block.Type == "required_providers":
		default:
			found = append(found, references(block.Body, iterators...)...)
		}
	}
	return found
}

func step(traversal hcl.Traversal, index int) string {
	if index >= len(traversal) {
		return ""
	}
	attribute, _ := traversal[index].(hcl.TraverseAttr)
	return attribute.Name
}

// called is the module that a block `module` names.
func (m *module) called(t *testing.T, block *hclsyntax.Block) *module {
	t.Helper()
	source := literal(block.Body, "source")
	if !strings.HasPrefix(source, "../") {
		t.Fatalf("%s: module %s comes from %q, want a path", m.name, block.Labels[0], source)
	}
	return named(t, filepath.Join(m.name, source))
}

// missing says what is wrong with a reference, or "".
func (m *module) missing(t *testing.T, traversal hcl.Traversal) string {
	t.Helper()
	first, second, third := traversal.RootName(), step(traversal, 1), step(traversal, 2)
	switch {
	case slices.Contains(builtin, first):
		return ""
	case first == "var":
		if m.blocks("variable")[second] == nil {
			return "there is no variable " + second
		}
	case first == "local":
		if m.locals()[second] == nil {
			return "there is no local value " + second
		}
	case first == "module":
		block := m.blocks("module")[second]
		if block == nil {
			return "there is no module " + second
		}
		if third != "" && m.called(t, block).blocks("output")[third] == nil {
			return fmt.Sprintf("the module %s has no output %s", second, third)
		}
	case first == "data":
		if m.blocks("data")[second+"."+third] == nil {
			return fmt.Sprintf("there is no data source %s.%s", second, third)
		}
		return attributeMissing(t, "data", second, traversal[3:])
	default:
		if m.blocks("resource")[first+"."+second] == nil {
			return fmt.Sprintf("there is no resource %s.%s", first, second)
		}
		return attributeMissing(t, "resource", first, traversal[2:])
	}
	return ""
}

// attributeMissing says whether the schema lacks the first attribute that is asked of a resource.
func attributeMissing(t *testing.T, kind, of string, rest hcl.Traversal) string {
	t.Helper()
	for _, part := range rest {
		attribute, named := part.(hcl.TraverseAttr)
		if !named {
			continue // an index or a splat
		}
		schema := schemaOf(t, kind, of)
		if _, known := schema.Attributes[attribute.Name]; !known {
			if _, known := schema.Blocks[attribute.Name]; !known {
				return fmt.Sprintf("%s has no %s", of, attribute.Name)
			}
		}
		return ""
	}
	return ""
}

func TestEveryReferenceIsToSomethingThatExists(t *testing.T) {
	seen := 0
	for _, module := range modules(t) {
		for file, body := range module.files {
			for _, traversal := range references(body) {
				seen++
				if problem := module.missing(t, traversal); problem != "" {
					t.Errorf("%s/%s:%d: %s", module.name, file, traversal.SourceRange().Start.Line, problem)
				}
			}
		}
	}
	if seen < 500 {
		t.Errorf("only %d references were found", seen)
	}
}

func TestEveryVariableAndLocalValueIsUsed(t *testing.T) {
	for _, module := range modules(t) {
		used := map[string]bool{}
		for _, body := range module.files {
			for _, block := range body.Blocks {
				for _, traversal := range references(&hclsyntax.Body{Blocks: hclsyntax.Blocks{block}}) {
					// A variable that only its own validation reads is not used.
					if block.Type != "variable" || traversal.RootName() != "var" || step(traversal, 1) != block.Labels[0] {
						used[traversal.RootName()+"."+step(traversal, 1)] = true
					}
				}
			}
		}
		for name := range module.blocks("variable") {
			if !used["var."+name] {
				t.Errorf("%s: nothing uses the variable %s", module.name, name)
			}
		}
		for name := range module.locals() {
			if !used["local."+name] {
				t.Errorf("%s: nothing uses the local value %s", module.name, name)
			}
		}
		for name := range module.blocks("data") {
			if !used["data."+strings.Split(name, ".")[0]] {
				t.Errorf("%s: nothing uses the data source %s", module.name, name)
			}
		}
	}
}

func TestEveryCallOfAModulePassesWhatItTakesAndAllThatItNeeds(t *testing.T) {
	meta := []string{"source", "version", "providers", "depends_on", "for_each", "count"}
	calls := 0
	for _, module := range modules(t) {
		for name, block := range module.blocks("module") {
			calls++
			called := module.called(t, block)
			variables := called.blocks("variable")
			for argument := range block.Body.Attributes {
				if variables[argument] == nil && !slices.Contains(meta, argument) {
					t.Errorf("%s: module %s is given %s, which %s does not take", module.name, name, argument, called.name)
				}
			}
			for variable, of := range variables {
				if of.Body.Attributes["default"] == nil && block.Body.Attributes[variable] == nil {
					t.Errorf("%s: module %s needs %s", module.name, name, variable)
				}
			}
		}
	}
	if calls < 15 {
		t.Errorf("only %d calls were found", calls)
	}
}
