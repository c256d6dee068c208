package terraform

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// The functions of Terraform that the evaluated expressions use.
var functions = map[string]function.Function{
	"concat":     stdlib.ConcatFunc,
	"jsonencode": stdlib.JSONEncodeFunc,
	"keys":       stdlib.KeysFunc,
	"merge":      stdlib.MergeFunc,
}

// evaluator computes expressions of a module from its variables, with resources made up.
type evaluator struct {
	module    *module
	variables map[string]cty.Value
	// objects are resources and modules by type and name.
	objects map[string]cty.Value
}

// with is a module whose variables are set; the others have their defaults. Attributes that are optional get theirs.
func with(t *testing.T, module *module, set map[string]cty.Value, objects map[string]cty.Value) *evaluator {
	t.Helper()
	variables := map[string]cty.Value{}
	for name, block := range module.blocks("variable") {
		constraint, defaults, problems := typeexpr.TypeConstraintWithDefaults(block.Body.Attributes["type"].Expr)
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		value, isSet := set[name]
		if fallback := block.Body.Attributes["default"]; !isSet && fallback != nil {
			if value, problems = fallback.Expr.Value(nil); problems.HasErrors() {
				t.Fatal(problems)
			}
		} else if !isSet {
			value = cty.UnknownVal(constraint)
		}
		if defaults != nil && !value.IsNull() {
			value = defaults.Apply(value)
		}
		converted, err := convert.Convert(value, constraint)
		if err != nil {
			t.Fatalf("%s: variable %s: %v", module.name, name, err)
		}
		variables[name] = converted
	}
	return &evaluator{module: module, variables: variables, objects: objects}
}

// value computes an expression; `each` is what for_each gives.
func (e *evaluator) value(t *testing.T, expression hclsyntax.Expression, each map[string]cty.Value) cty.Value {
	t.Helper()
	locals := map[string]cty.Value{}
	roots := map[string]cty.Value{"var": cty.ObjectVal(e.variables)}
	for _, traversal := range expression.Variables() {
		switch first := traversal.RootName(); first {
		case "var":
		case "each":
			roots["each"] = cty.ObjectVal(each)
		case "local":
			name := step(traversal, 1)
			locals[name] = e.value(t, e.module.locals()[name], nil)
		default:
			value, known := e.objects[first]
			if !known {
				value = cty.DynamicVal
			}
			roots[first] = value
		}
	}
	if len(locals) > 0 {
		roots["local"] = cty.ObjectVal(locals)
	}
	value, problems := expression.Value(&hcl.EvalContext{Variables: roots, Functions: functions})
	if problems.HasErrors() {
		t.Fatalf("%s: %v", e.module.name, problems)
	}
	return value
}

// output computes an output.
func (e *evaluator) output(t *testing.T, name string) cty.Value {
	t.Helper()
	return e.value(t, e.module.blocks("output")[name].Body.Attributes["value"].Expr, nil)
}

// local computes a local value.
func (e *evaluator) local(t *testing.T, name string) cty.Value {
	t.Helper()
	return e.value(t, e.module.locals()[name], nil)
}
