package terraform

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

func parse(t *testing.T, text string) *hclsyntax.Body {
	t.Helper()
	file, problems := hclsyntax.ParseConfig([]byte(text), "test.tf", hcl.InitialPos)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	return file.Body.(*hclsyntax.Body)
}

func TestTheWholeInternetIsNamedOnlyAsWhereRoutesLead(t *testing.T) {
	routes := 0
	for _, module := range modules(t) {
		for file := range module.files {
			text, err := os.ReadFile(filepath.Join(tree, module.name, file))
			if err != nil {
				t.Fatal(err)
			}
			for number, line := range strings.Split(string(text), "\n") {
				if !strings.Contains(line, "0.0.0.0/0") && !strings.Contains(line, "::/0") {
					continue
				}
				if words := strings.Fields(line); len(words) == 3 && words[0] == "destination_cidr_block" {
					routes++
					continue
				}
				t.Errorf("%s/%s:%d opens something to the whole internet: %s", module.name, file, number+1, line)
			}
		}
	}
	if routes != 2 {
		t.Errorf("%d routes lead to the internet, want those to the two gateways of modules/eks", routes)
	}
}

// Statements of IAM that name all actions of a service, all resources or everybody, and why they may.
var broad = map[string]string{
	"disks_key AccountAdministersKey":        "without it nobody could change the key's policy; IAM decides who in the account",
	"disks_key DisksOfThisAccountThroughEc2": "a key's policy is of this key alone; the conditions name the account and EC2",
	"autoscaler Look":                        "AWS knows no narrower resource for these actions",
	"autoscaler ChangeOwnGroups":             "the condition names the cluster's own groups",
}

func TestNoStatementOfIamIsBroaderThanItNeedsToBe(t *testing.T) {
	used := map[string]bool{}
	statements := 0
	for _, module := range modules(t) {
		for name, block := range module.blocks("data") {
			if block.Labels[0] != "aws_iam_policy_document" {
				continue
			}
			for _, statement := range nested(block.Body, "statement") {
				statements++
				if literal(statement, "effect") == "Deny" {
					continue
				}
				key := strings.TrimPrefix(name, "aws_iam_policy_document.") + " " + literal(statement, "sid")
				for _, problem := range breadth(statement) {
					if broad[key] == "" {
						t.Errorf("%s: %s: %s", module.name, name, problem)
					}
					used[key] = true
				}
			}
		}
	}
	for key := range broad {
		if !used[key] {
			t.Errorf("the statement %q needs no exception any more", key)
		}
	}
	if statements < 12 {
		t.Errorf("only %d statements were found", statements)
	}
}

// breadth says in which ways a statement is broad.
func breadth(statement *hclsyntax.Body) []string {
	var found []string
	for _, name := range []string{"actions", "not_actions", "resources", "not_resources"} {
		attribute := statement.Attributes[name]
		if attribute == nil {
			continue
		}
		if strings.HasPrefix(name, "not_") {
			found = append(found, name+" allows what nobody thought of")
		}
		for _, text := range constants(attribute.Expr) {
			if name == "actions" && strings.Contains(text, "*") || text == "*" {
				found = append(found, fmt.Sprintf("%s has %q", name, text))
			}
		}
	}
	for _, principals := range nested(statement, "principals") {
		if slices.Contains(constants(principals.Attributes["identifiers"].Expr), "*") {
			found = append(found, "it is for everybody")
		}
	}
	return found
}

// constants are the texts in an expression.
func constants(expression hclsyntax.Expression) []string {
	var found []string
	_ = hclsyntax.VisitAll(expression, func(node hclsyntax.Node) hcl.Diagnostics {
		if value, is := node.(*hclsyntax.LiteralValueExpr); is && value.Val.Type() == cty.String && !value.Val.IsNull() {
			found = append(found, value.Val.AsString())
		}
		return nil
	})
	return found
}

func TestRolesAreNarrow(t *testing.T) {
	allowed := []string{
		"roles/artifactregistry.reader", "roles/cloudkms.cryptoKeyEncrypterDecrypter", "roles/container.defaultNodeServiceAccount",
		"roles/iam.workloadIdentityUser", "roles/storage.objectUser",
		"Azure Kubernetes Service RBAC Cluster Admin", "Key Vault Crypto Officer", "Key Vault Crypto Service Encryption User",
		"Key Vault Crypto User", "Network Contributor", "Reader", "Storage Blob Data Contributor",
		"AmazonEBSCSIDriverPolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKSClusterPolicy", "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy",
	}
	used := map[string]bool{}
	for _, module := range modules(t) {
		for name, block := range module.blocks("resource") {
			kind := block.Labels[0]
			if kind != "azurerm_role_assignment" && kind != "aws_iam_role_policy_attachment" && !strings.HasSuffix(kind, "_iam_member") {
				continue
			}
			for _, role := range rolesOf(block) {
				used[role] = true
				if !slices.Contains(allowed, role) {
					t.Errorf("%s: %s gives %q, which is not among the roles that are known to be narrow", module.name, name, role)
				}
			}
		}
	}
	for _, role := range allowed {
		if !used[role] {
			t.Errorf("no resource gives %q any more", role)
		}
	}
}

// rolesOf are the roles that a resource names, directly or by its for_each.
func rolesOf(block *hclsyntax.Block) []string {
	var found []string
	for _, name := range []string{"role", "role_definition_name", "policy_arn", "for_each"} {
		attribute := block.Body.Attributes[name]
		if attribute == nil {
			continue
		}
		for _, text := range constants(attribute.Expr) {
			text = text[strings.LastIndex(text, "/")+1:]
			if strings.HasPrefix(block.Labels[0], "google_") && text != "" {
				text = "roles/" + text
			}
			// What is no role: keys of for_each, parts of templates.
			if text != "" && text != strings.ToLower(text) || strings.HasPrefix(text, "roles/") && strings.Contains(text, ".") {
				found = append(found, text)
			}
		}
	}
	return found
}

func TestWhatKeepsDataPrivateAndSafeIsSet(t *testing.T) {
	for _, test := range []struct{ module, resource, path, want string }{
		{"eks", "aws_s3_bucket_public_access_block", "block_public_acls", "true"},
		{"eks", "aws_s3_bucket_public_access_block", "block_public_policy", "true"},
		{"eks", "aws_s3_bucket_public_access_block", "ignore_public_acls", "true"},
		{"eks", "aws_s3_bucket_public_access_block", "restrict_public_buckets", "true"},
		{"eks", "aws_s3_bucket_ownership_controls", "rule.object_ownership", "BucketOwnerEnforced"},
		{"eks", "aws_s3_bucket_versioning", "versioning_configuration.status", "Enabled"},
		{"eks", "aws_s3_bucket_server_side_encryption_configuration", "rule.apply_server_side_encryption_by_default.sse_algorithm", "aws:kms"},
		{"eks", "aws_kms_key", "enable_key_rotation", "true"},
		{"eks", "aws_kms_key", "deletion_window_in_days", "30"},
		{"eks", "aws_launch_template", "block_device_mappings.ebs.encrypted", "true"},
		{"eks", "aws_launch_template", "metadata_options.http_tokens", "required"},
		{"eks", "aws_launch_template", "metadata_options.http_put_response_hop_limit", "1"},
		{"eks", "aws_eks_cluster", "access_config.authentication_mode", "API"},
		{"eks", "aws_eks_cluster", "vpc_config.endpoint_private_access", "true"},
		{"gke", "google_storage_bucket", "uniform_bucket_level_access", "true"},
		{"gke", "google_storage_bucket", "public_access_prevention", "enforced"},
		{"gke", "google_storage_bucket", "versioning.enabled", "true"},
		{"gke", "google_kms_crypto_key", "rotation_period", "7776000s"},
		{"gke", "google_container_cluster", "database_encryption.state", "ENCRYPTED"},
		{"gke", "google_container_cluster", "private_cluster_config.enable_private_nodes", "true"},
		{"gke", "google_container_cluster", "master_auth.client_certificate_config.issue_client_certificate", "false"},
		{"gke", "google_container_node_pool", "node_config.workload_metadata_config.mode", "GKE_METADATA"},
		{"gke", "google_container_node_pool", "node_config.shielded_instance_config.enable_secure_boot", "true"},
		{"aks", "azurerm_storage_account", "allow_nested_items_to_be_public", "false"},
		{"aks", "azurerm_storage_account", "shared_access_key_enabled", "false"},
		{"aks", "azurerm_storage_account", "https_traffic_only_enabled", "true"},
		{"aks", "azurerm_storage_account", "min_tls_version", "TLS1_2"},
		{"aks", "azurerm_storage_account", "network_rules.default_action", "Deny"},
		{"aks", "azurerm_storage_account", "blob_properties.versioning_enabled", "true"},
		{"aks", "azurerm_storage_container", "container_access_type", "private"},
		{"aks", "azurerm_key_vault", "purge_protection_enabled", "true"},
		{"aks", "azurerm_key_vault", "rbac_authorization_enabled", "true"},
		{"aks", "azurerm_kubernetes_cluster", "local_account_disabled", "true"},
		{"aks", "azurerm_kubernetes_cluster", "run_command_enabled", "false"},
		{"aks", "azurerm_kubernetes_cluster", "workload_identity_enabled", "true"},
	} {
		seen := 0
		path := strings.Split(test.path, ".")
		for name, block := range named(t, "modules/"+test.module).blocks("resource") {
			if block.Labels[0] != test.resource {
				continue
			}
			for _, body := range nested(block.Body, path[:len(path)-1]...) {
				seen++
				if found := text(body, path[len(path)-1]); found != test.want {
					t.Errorf("modules/%s: %s.%s is %q, want %q", test.module, name, test.path, found, test.want)
				}
			}
		}
		if seen == 0 {
			t.Errorf("modules/%s has no %s with %s", test.module, test.resource, test.path)
		}
	}
}

// text is an attribute's constant, as text.
func text(body *hclsyntax.Body, name string) string {
	attribute := body.Attributes[name]
	if attribute == nil {
		return ""
	}
	value, problems := attribute.Expr.Value(nil)
	if problems.HasErrors() || value.IsNull() {
		return ""
	}
	switch value.Type() {
	case cty.Bool:
		return fmt.Sprint(value.True())
	case cty.Number:
		return value.AsBigFloat().String()
	case cty.String:
		return value.AsString()
	}
	return ""
}
