// Package argocd runs the health scripts of deploy/argocd as Argo CD does: the same Lua implementation, the same
// libraries (no string, no math, no io), one second, and the cases in Argo CD's own format.
package argocd

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"
)

const scripts = "../../deploy/argocd"

// suite is a health_test.yaml.
type suite struct {
	Tests []struct {
		InputPath    string `json:"inputPath"`
		HealthStatus health `json:"healthStatus"`
	} `json:"tests"`
}

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func TestEachObjectHasTheHealthThatItsSuiteSays(t *testing.T) {
	for _, script := range healthScripts(t) {
		directory := filepath.Dir(script)
		var cases suite
		unmarshal(t, filepath.Join(directory, "health_test.yaml"), &cases)
		for _, test := range cases.Tests {
			t.Run(filepath.Base(directory)+"/"+test.InputPath, func(t *testing.T) {
				var object map[string]any
				unmarshal(t, filepath.Join(directory, test.InputPath), &object)
				if got := run(t, read(t, script), object); got != test.HealthStatus {
					t.Errorf("got  %+v\nwant %+v", got, test.HealthStatus)
				}
			})
		}
	}
}

func TestEachTestObjectIsInItsSuite(t *testing.T) {
	for _, script := range healthScripts(t) {
		directory := filepath.Dir(script)
		var cases suite
		unmarshal(t, filepath.Join(directory, "health_test.yaml"), &cases)
		listed := map[string]bool{}
		for _, test := range cases.Tests {
			listed[test.InputPath] = true
		}
		objects, err := filepath.Glob(filepath.Join(directory, "testdata", "*.yaml"))
		if err != nil || len(objects) == 0 {
			t.Fatalf("%s has no testdata: %v", directory, err)
		}
		for _, object := range objects {
			if path := filepath.Join("testdata", filepath.Base(object)); !listed[path] {
				t.Errorf("%s: %s is in no test", directory, path)
			}
		}
	}
}

func TestAnObjectWithoutStatusOrConditionsIsProgressing(t *testing.T) {
	for _, script := range healthScripts(t) {
		for name, object := range map[string]map[string]any{
			"no status":     {"metadata": map[string]any{"generation": 1}},
			"no conditions": {"metadata": map[string]any{"generation": 1}, "status": map[string]any{"observedGeneration": 1}},
		} {
			if got := run(t, read(t, script), object); got.Status != "Progressing" || got.Message == "" {
				t.Errorf("%s: %s: %+v", script, name, got)
			}
		}
	}
}

func TestTheConfigMapPatchHoldsTheseScripts(t *testing.T) {
	var patch struct {
		Data map[string]string `json:"data"`
	}
	unmarshal(t, filepath.Join(scripts, "argocd-cm.yaml"), &patch)
	found := healthScripts(t)
	if len(patch.Data) != len(found) {
		t.Errorf("argocd-cm.yaml has %d keys; there are %d scripts", len(patch.Data), len(found))
	}
	for _, script := range found {
		kind := filepath.Dir(script)
		key := "resource.customizations.health." + filepath.Base(filepath.Dir(kind)) + "_" + filepath.Base(kind)
		if patch.Data[key] != read(t, script) {
			t.Errorf("argocd-cm.yaml: %s is stale: run `make generate`", key)
		}
	}
}

// run is what Argo CD does with a script of its ConfigMap.
func run(t *testing.T, script string, object map[string]any) health {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage}, // first: the others register themselves with it
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			t.Fatal(err)
		}
	}
	limit, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	state.SetContext(limit)
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returned a %s; Argo CD wants a table", state.Get(-1).Type())
	}
	field := func(name string) string {
		value := answer.RawGetString(name)
		if value != lua.LNil && value.Type() != lua.LTString {
			t.Fatalf("%s is a %s; Argo CD wants a string", name, value.Type())
		}
		return lua.LVAsString(value)
	}
	return health{Status: field("status"), Message: field("message")}
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case int:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

func healthScripts(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(scripts, "*", "*", "health.lua"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no health.lua below %s: %v", scripts, err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func unmarshal(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
