package terraform

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// clouds are the clusters' modules, with their pools: the resource that makes them, and its arguments for labels and taints.
var clouds = map[string]struct {
	pools, labels, taints string
	objects               map[string]cty.Value
}{
	"eks": {pools: "aws_eks_node_group", labels: "labels", taints: "taint", objects: map[string]cty.Value{
		"aws_s3_bucket": object("this", "bucket", "nlp-datasets"),
		"data":          cty.ObjectVal(map[string]cty.Value{"aws_region": object("current", "region", "eu-central-1")}),
	}},
	"gke": {pools: "google_container_node_pool", labels: "node_config.labels", taints: "node_config.taint", objects: map[string]cty.Value{
		"google_storage_bucket": object("this", "name", "nlp-datasets"),
	}},
	"aks": {pools: "azurerm_kubernetes_cluster_node_pool", labels: "node_labels", taints: "node_taints", objects: map[string]cty.Value{
		"azurerm_storage_container": object("this", "name", "datasets"),
		"azurerm_storage_account":   object("this", "name", "nlpdatasets"),
	}},
}

func object(name, attribute, value string) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{name: cty.ObjectVal(map[string]cty.Value{attribute: cty.StringVal(value)})})
}

func evaluated(t *testing.T, cloud string) *evaluator {
	t.Helper()
	return with(t, named(t, "modules/"+cloud), map[string]cty.Value{"gpu_pool": cty.EmptyObjectVal}, clouds[cloud].objects)
}

// device is the resource of a GPU, and the effect of the taint that the operator lets its pods tolerate.
func device(t *testing.T) (name, effect string) {
	t.Helper()
	text := read(t, "docs/models.md")
	found := regexp.MustCompile("toleration of its taint \\(`([a-z./]+): ([A-Za-z]+)`").FindStringSubmatch(text)
	if found == nil {
		t.Fatal("docs/models.md does not say which taint a model with a GPU tolerates")
	}
	if source := read(t, "operator/src/model/place.rs"); !strings.Contains(source, `effect: Some("`+found[2]+`".into())`) {
		t.Fatalf("operator/src/model/place.rs tolerates no %s", found[2])
	}
	return found[1], found[2]
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// camelled is NO_SCHEDULE, as AWS and Google write it, as Kubernetes does.
func camelled(effect string) string {
	if effect == "NO_SCHEDULE" {
		return "NoSchedule"
	}
	return effect
}

func TestGpuNodesHaveTheTaintThatTheOperatorsPodsTolerateAndOthersHaveNone(t *testing.T) {
	resource, effect := device(t)
	for cloud := range clouds {
		e := evaluated(t, cloud)
		taint := e.local(t, "gpu_taint")
		if key := taint.GetAttr("key").AsString(); key != resource {
			t.Errorf("modules/%s: the taint's key is %s, want %s", cloud, key, resource)
		}
		if found := camelled(taint.GetAttr("effect").AsString()); found != effect {
			t.Errorf("modules/%s: the taint's effect is %s, want %s", cloud, found, effect)
		}
		if want := resource + "=" + taint.GetAttr("value").AsString() + ":" + effect; e.output(t, "gpu_taint").AsString() != want {
			t.Errorf("modules/%s: the output gpu_taint is %s, want %s", cloud, e.output(t, "gpu_taint").AsString(), want)
		}
		for name, pool := range e.local(t, "pools").AsValueMap() {
			if taints := pool.GetAttr("taints").LengthInt(); taints != map[bool]int{true: 1}[name == "gpu"] {
				t.Errorf("modules/%s: the pool %s has %d taints", cloud, name, taints)
			}
		}
	}
}

func TestPodsSelectThePoolsThatThereAre(t *testing.T) {
	for cloud, of := range clouds {
		e := evaluated(t, cloud)
		block := e.module.blocks("resource")[of.pools+".this"]
		path := strings.Split(of.labels, ".")
		bodies := nested(block.Body, path[:len(path)-1]...)
		if len(bodies) != 1 {
			t.Fatalf("modules/%s: %d times %s", cloud, len(bodies), of.labels)
		}
		expression := bodies[0].Attributes[path[len(path)-1]].Expr
		for name, output := range map[string]string{"cpu": "cpu_pod", "gpu": "gpu_pod"} {
			pool := e.local(t, "pools").AsValueMap()[name]
			labels := e.value(t, expression, map[string]cty.Value{"key": cty.StringVal(name), "value": pool}).AsValueMap()
			selector := e.output(t, output).GetAttr("nodeSelector").AsValueMap()
			if len(selector) == 0 {
				t.Errorf("modules/%s: %s selects nothing", cloud, output)
			}
			for key, value := range selector {
				if label, there := labels[key]; !there || label.AsString() != value.AsString() {
					t.Errorf("modules/%s: %s selects %s=%s, and the nodes of the pool %s have %v", cloud, output, key, value.AsString(), name, labels)
				}
			}
		}
		if text := read(t, "terraform/modules/"+cloud+"/nodes.tf"); !strings.Contains(text, "for_each = local.pools") {
			t.Errorf("modules/%s: the pools are not made of local.pools", cloud)
		}
	}
	system := with(t, named(t, "modules/operator"), nil, nil).variables["node_selector"].AsValueMap()
	for cloud := range clouds {
		label := evaluated(t, cloud).local(t, "pool_label").AsString()
		if value, there := system[label]; !there || value.AsString() != "system" || len(system) != 1 {
			t.Errorf("modules/operator selects %v, and the always running nodes of modules/%s have %s=system", system, cloud, label)
		}
	}
}

func TestPoolsForJobsAndModelsAreFromZero(t *testing.T) {
	for cloud := range clouds {
		pools := evaluated(t, cloud).variables
		for _, name := range []string{"cpu_pool", "gpu_pool"} {
			if least := pools[name].GetAttr("min_nodes"); !least.RawEquals(cty.NumberIntVal(0)) {
				t.Errorf("modules/%s: %s has %s nodes at least", cloud, name, least.GoString())
			}
		}
		if with(t, named(t, "modules/"+cloud), nil, nil).variables["gpu_pool"].IsNull() == false {
			t.Errorf("modules/%s has a GPU pool that nobody asked for", cloud)
		}
	}
}

// compiled is a schema in which unknown fields are refused.
func compiled(t *testing.T, schema any) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4)
	if err := compiler.AddResource("schema.json", schema); err != nil {
		t.Fatal(err)
	}
	made, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// plain is a value as JSON has it.
func plain(t *testing.T, value cty.Value) any {
	t.Helper()
	if !value.IsWhollyKnown() {
		t.Fatalf("not all is known of %s", value.GoString())
	}
	text, err := ctyjson.Marshal(value, value.Type())
	if err != nil {
		t.Fatal(err)
	}
	made, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestTheChartTakesTheValuesThatTheOperatorsModuleGivesIt(t *testing.T) {
	var schema any
	if err := json.Unmarshal([]byte(read(t, "charts/textnlp-operator/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	values := compiled(t, schema)
	image := cty.ObjectVal(map[string]cty.Value{
		"registry": cty.StringVal("registry.example.com/nlp"), "repository": cty.StringVal("textnlp"), "tag": cty.StringVal("0.1.0"),
		"digest": cty.StringVal("sha256:" + strings.Repeat("0", 64)),
	})
	for name, set := range map[string]map[string]cty.Value{
		"defaults": nil,
		"everything": {
			"image": image, "workload_image": image, "image_pull_secrets": cty.ListVal([]cty.Value{cty.StringVal("registry")}),
			"replicas": cty.NumberIntVal(3), "watch_workspaces_only": cty.True, "server_access": cty.False, "service_monitor": cty.True,
			"node_selector": cty.MapValEmpty(cty.String),
			"workspaces":    cty.ObjectVal(map[string]cty.Value{"team-a": cty.EmptyObjectVal}),
		},
	} {
		made := plain(t, with(t, named(t, "modules/operator"), set, nil).local(t, "values"))
		if err := values.Validate(made); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := values.Validate(map[string]any{"replica": json.Number("1")}); err == nil {
		t.Error("the schema takes a value that the chart does not have")
	}
}

// crd is the schema of a kind, with unknown fields refused as `kubectl apply` does. CEL rules are no part of it.
func crd(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	var definition struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "crds/"+strings.ToLower(kind)+".yaml")), &definition); err != nil {
		t.Fatal(err)
	}
	schema := definition.Spec.Versions[0].Schema.OpenAPIV3Schema
	schema["properties"].(map[string]any)["metadata"] = map[string]any{"type": "object"}
	for _, field := range []string{"apiVersion", "kind"} {
		schema["properties"].(map[string]any)[field] = map[string]any{"type": "string"}
	}
	refuseUnknown(schema)
	return compiled(t, schema)
}

func refuseUnknown(schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	for _, property := range properties {
		refuseUnknown(property.(map[string]any))
	}
	for _, inner := range []string{"items", "additionalProperties"} {
		if of, ok := schema[inner].(map[string]any); ok {
			refuseUnknown(of)
		}
	}
	if properties != nil && schema["x-kubernetes-preserve-unknown-fields"] != true {
		schema["additionalProperties"] = false
	}
}

// manifests renders an example's template as Terraform's templatefile does.
func manifests(t *testing.T, path string, values map[string]cty.Value) string {
	t.Helper()
	template, problems := hclsyntax.ParseTemplate([]byte(read(t, path)), path, hcl.InitialPos)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	made, problems := template.Value(&hcl.EvalContext{Variables: values, Functions: functions})
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	return made.AsString()
}

func TestTheExamplesManifestsAreWhatTheCRDsDescribeAndFitTheCluster(t *testing.T) {
	resource, _ := device(t)
	schemas := map[string]*jsonschema.Schema{"ModelDeployment": crd(t, "ModelDeployment"), "GenerationJob": crd(t, "GenerationJob")}
	for cloud := range clouds {
		for _, size := range []string{"minimal", "gpu"} {
			e := evaluated(t, cloud)
			example := named(t, "examples/"+cloud+"/"+size)
			outputs := map[string]cty.Value{"storage_class_name": cty.StringVal("textnlp"), "service_accounts": cty.ObjectVal(map[string]cty.Value{"datasets": cty.StringVal("textnlp")})}
			cluster := map[string]cty.Value{}
			for _, name := range []string{"cpu_pod", "gpu_pod", "object_store"} {
				cluster[name] = e.output(t, name)
			}
			modules := cty.ObjectVal(map[string]cty.Value{"cluster": cty.ObjectVal(cluster), "operator": cty.ObjectVal(outputs)})
			call := example.blocks("output")["manifests"].Body.Attributes["value"].Expr.(*hclsyntax.FunctionCallExpr)
			if call.Name != "templatefile" {
				t.Fatalf("%s calls %s", example.name, call.Name)
			}
			arguments := with(t, example, nil, map[string]cty.Value{"module": modules}).value(t, call.Args[1], nil)
			text := manifests(t, "terraform/examples/manifests/"+size+".yaml.tftpl", arguments.AsValueMap())
			kinds := map[string]map[string]any{}
			for _, document := range documents(t, text) {
				kind := document["kind"].(string)
				kinds[kind] = document
				if schema := schemas[kind]; schema != nil {
					if err := schema.Validate(document); err != nil {
						t.Errorf("%s: %s: %v\n%s", example.name, kind, err, text)
					}
				}
			}
			if len(kinds) != 3 {
				t.Fatalf("%s: %d kinds", example.name, len(kinds))
			}
			spec := kinds["ModelDeployment"]["spec"].(map[string]any)
			_, asks := spec["resources"].(map[string]any)["limits"].(map[string]any)[resource]
			if asks != (size == "gpu") {
				t.Errorf("%s: that the model asks for %s is %v", example.name, resource, asks)
			}
			if reference := kinds["GenerationJob"]["spec"].(map[string]any)["modelRef"].(map[string]any)["name"]; reference != kinds["ModelDeployment"]["metadata"].(map[string]any)["name"] {
				t.Errorf("%s: the job names the model %v", example.name, reference)
			}
		}
	}
}

// documents are the YAML documents of a text, as JSON has them.
func documents(t *testing.T, text string) []map[string]any {
	t.Helper()
	var found []map[string]any
	decoder := yamlv3.NewDecoder(strings.NewReader(text))
	for {
		var document map[string]any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("no YAML: %v\n%s", err, text)
		}
		converted, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		made, err := jsonschema.UnmarshalJSON(bytes.NewReader(converted))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, made.(map[string]any))
	}
}
