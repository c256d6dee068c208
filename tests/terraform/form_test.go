package terraform

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

func TestEveryFileIsFormattedAsTerraformFormatsIt(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".tf" && filepath.Ext(path) != ".hcl" || strings.Contains(path, "/.terraform/") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if _, problems := hclsyntax.ParseConfig(text, path, hcl.InitialPos); problems.HasErrors() {
			t.Errorf("%s: %v", path, problems)
		}
		if !bytes.Equal(text, hclwrite.Format(text)) {
			t.Errorf("%s is not formatted: terraform fmt -recursive terraform", path)
		}
		seen++
		return nil
	})
	if err != nil || seen < 70 {
		t.Fatalf("%d files: %v", seen, err)
	}
}

func TestEveryModulePinsTerraformAndItsProviders(t *testing.T) {
	versions := map[string]string{}
	for _, module := range modules(t) {
		body := module.files["versions.tf"]
		if body == nil || len(body.Blocks) != 1 || body.Blocks[0].Type != "terraform" {
			t.Errorf("%s/versions.tf must be one block `terraform`", module.name)
			continue
		}
		if required := literal(body.Blocks[0].Body, "required_version"); required != "~> 1.9" {
			t.Errorf("%s: required_version is %q, want ~> 1.9", module.name, required)
		}
		pinned := map[string]bool{}
		for _, providers := range nested(body.Blocks[0].Body, "required_providers") {
			for name, attribute := range providers.Attributes {
				value, problems := attribute.Expr.Value(nil)
				if problems.HasErrors() {
					t.Fatal(problems)
				}
				version := value.GetAttr("version").AsString()
				if source := value.GetAttr("source").AsString(); source != "hashicorp/"+name {
					t.Errorf("%s: the provider %s is %s", module.name, name, source)
				}
				if !regexp.MustCompile(`^~> [0-9]+\.[0-9]+$`).MatchString(version) {
					t.Errorf("%s: the provider %s must be pinned to a major version, as ~> 6.25, and is %q", module.name, name, version)
				}
				if before, known := versions[name]; known && before != version {
					t.Errorf("%s pins %s to %s, another module to %s", module.name, name, version, before)
				}
				versions[name], pinned[name] = version, true
			}
		}
		used := map[string]bool{}
		for _, kind := range []string{"resource", "data", "provider"} {
			for _, block := range module.blocks(kind) {
				provider, _, _ := strings.Cut(block.Labels[0], "_")
				used[provider] = true
			}
		}
		for provider := range used {
			if !pinned[provider] {
				t.Errorf("%s uses the provider %s and does not pin it", module.name, provider)
			}
		}
		for provider := range pinned {
			if !used[provider] {
				t.Errorf("%s pins the provider %s and does not use it", module.name, provider)
			}
		}
	}
	for name, schema := range schemas(t) {
		// The least version that a module takes is the one whose schema the arguments are checked against.
		minor := schema.Version[:strings.LastIndex(schema.Version, ".")]
		if versions[name] != "~> "+minor {
			t.Errorf("the provider %s is pinned to %q, and its schema is that of %s", name, versions[name], schema.Version)
		}
	}
}

func TestEveryVariableSaysWhatItIsAndRefusesWhatCannotBe(t *testing.T) {
	for _, module := range modules(t) {
		for name, block := range module.blocks("variable") {
			where := module.name + ": variable " + name
			if len(literal(block.Body, "description")) < 10 {
				t.Errorf("%s has no description", where)
			}
			kind := block.Body.Attributes["type"]
			if kind == nil {
				t.Errorf("%s has no type", where)
				continue
			}
			constraint, _, problems := typeexpr.TypeConstraintWithDefaults(kind.Expr)
			if problems.HasErrors() {
				t.Errorf("%s: %v", where, problems)
			}
			validations := nested(block.Body, "validation")
			// Any boolean and any label will do.
			if free := constraint != cty.Bool && !constraint.Equals(cty.Map(cty.String)); free && len(validations) == 0 {
				t.Errorf("%s takes anything: it needs a validation", where)
			}
			for _, validation := range validations {
				message := literal(validation, "error_message")
				if !strings.HasPrefix(message, name+" ") && !strings.HasPrefix(message, name+".") || !strings.HasSuffix(message, ".") {
					t.Errorf("%s: the message %q must be a sentence that begins with the variable's name", where, message)
				}
			}
		}
	}
}

func TestEveryOutputIsDescribed(t *testing.T) {
	for _, module := range modules(t) {
		outputs := module.blocks("output")
		if len(outputs) == 0 {
			t.Errorf("%s has no output", module.name)
		}
		for name, block := range outputs {
			if len(literal(block.Body, "description")) < 10 || block.Body.Attributes["value"] == nil {
				t.Errorf("%s: output %s has no description or no value", module.name, name)
			}
		}
	}
}

func TestTheModulesOfTheCloudsHaveTheSameOutputs(t *testing.T) {
	for _, name := range []string{
		"ca_certificate", "cluster_name", "cpu_pod", "endpoint", "gpu_pod", "gpu_taint", "object_store", "service_account_annotations",
		"storage_class",
	} {
		for _, cloud := range []string{"eks", "gke", "aks"} {
			if named(t, "modules/"+cloud).blocks("output")[name] == nil {
				t.Errorf("modules/%s has no output %s", cloud, name)
			}
		}
	}
	for _, name := range []string{"authorized_networks", "cpu_pool", "deletion_protection", "gpu_pool", "name", "system_pool", "version_days", "workloads"} {
		for _, cloud := range []string{"eks", "gke", "aks"} {
			if named(t, "modules/"+cloud).blocks("variable")[name] == nil {
				t.Errorf("modules/%s has no variable %s", cloud, name)
			}
		}
	}
}
