package chart

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

// rights are verbs by resource.
type rights map[string][]string

var quoted = regexp.MustCompile("`([^`]+)`")

// tableOf reads the table below "What the operator may do": its rows are `resource`, … | verb, …; `/sub` verb; ….
func tableOf(t *testing.T, page string) rights {
	t.Helper()
	_, section, found := strings.Cut(page, "## What the operator may do")
	if !found {
		t.Fatal("docs/pods.md has no table of rights")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	table := rights{}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		resources := quoted.FindAllStringSubmatch(cells[0], -1)
		if len(cells) != 2 || len(resources) == 0 {
			continue
		}
		for _, resource := range resources {
			for part := range strings.SplitSeq(cells[1], ";") {
				name := resource[1]
				if sub := quoted.FindStringSubmatch(part); sub != nil {
					name += sub[1]
					part = quoted.ReplaceAllString(part, "")
				}
				for verb := range strings.SplitSeq(part, ",") {
					table[name] = append(table[name], strings.TrimSpace(verb))
				}
			}
		}
	}
	return table.sorted()
}

// granted adds up rules, whatever the API group.
func granted(rules ...rbacv1.PolicyRule) rights {
	sum := rights{}
	for _, rule := range rules {
		for _, resource := range rule.Resources {
			sum[resource] = append(sum[resource], rule.Verbs...)
		}
	}
	return sum.sorted()
}

func (r rights) sorted() rights {
	for resource, verbs := range r {
		slices.Sort(verbs)
		r[resource] = slices.Compact(verbs)
	}
	return r
}

func (r rights) equal(other rights) bool {
	return maps.EqualFunc(r, other, func(a, b []string) bool { return slices.Equal(a, b) })
}

func TestTheOperatorMayDoExactlyWhatThePageSays(t *testing.T) {
	want := tableOf(t, readFile(t, "docs/pods.md"))
	if len(want) < 15 {
		t.Fatalf("the table has only %v", want)
	}
	everywhere := render(t, `{}`)
	rules := as[rbacv1.ClusterRole](t, everywhere, "ClusterRole/textnlp-operator").Rules
	lease := as[rbacv1.Role](t, everywhere, "Role/textnlp-operator-lease").Rules
	if got := granted(append(slices.Clone(rules), lease...)...); !got.equal(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for _, rule := range rules {
		if slices.Contains(rule.Resources, "leases") {
			t.Error("leases belong to the operator's own namespace alone")
		}
	}
	for _, rule := range lease {
		if !slices.Equal(rule.Verbs, []string{"create"}) && !slices.Equal(rule.ResourceNames, []string{"textnlp-operator"}) {
			t.Errorf("%v reaches leases of others", rule)
		}
	}
}

func TestNoRuleHasAWildcardASecretOrAWayToMoreRights(t *testing.T) {
	for name, values := range variants {
		for key, object := range renderWithTests(t, values) {
			if !strings.Contains(key, "Role/") {
				continue
			}
			rules, _ := object["rules"].([]any)
			for _, rule := range rules {
				text := fmt.Sprint(rule)
				for _, never := range []string{"*", "secrets", "impersonate", "escalate", "bind", "rbac", "pods/exec", "serviceaccounts/token"} {
					if strings.Contains(text, never) {
						t.Errorf("%s: %s: %s has %s", name, key, text, never)
					}
				}
			}
		}
	}
}

func TestWithNamespacesTheSameRulesAreInRolesAndNothingIsClusterWide(t *testing.T) {
	everywhere := as[rbacv1.ClusterRole](t, render(t, `{}`), "ClusterRole/textnlp-operator").Rules
	scoped := render(t, variants["two namespaces"])
	if scoped.has("ClusterRole/textnlp-operator") || scoped.has("ClusterRoleBinding/textnlp-operator") {
		t.Error("a cluster-wide role is left")
	}
	namespaces := map[string]bool{}
	for key := range scoped {
		kind, name, _ := strings.Cut(key, "/")
		if kind != "Role" || !strings.HasSuffix(name, "textnlp-operator") {
			continue
		}
		role := as[rbacv1.Role](t, scoped, key)
		namespaces[role.Namespace] = true
		if !granted(role.Rules...).equal(granted(everywhere...)) {
			t.Errorf("%s: %v", key, role.Rules)
		}
	}
	if got := slices.Sorted(maps.Keys(namespaces)); !slices.Equal(got, []string{"team-a", "team-b"}) {
		t.Errorf("roles in %q", got)
	}
}

func TestViewersReadAndEditorsWriteOurKinds(t *testing.T) {
	all := render(t, `{}`)
	view := as[rbacv1.ClusterRole](t, all, "ClusterRole/textnlp-view")
	edit := as[rbacv1.ClusterRole](t, all, "ClusterRole/textnlp-edit")
	for role, labels := range map[*rbacv1.ClusterRole][]string{&view: {"view"}, &edit: {"edit", "admin"}} {
		var got []string
		for label, value := range role.Labels {
			if name, ok := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-"); ok && value == "true" {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		slices.Sort(labels)
		if !slices.Equal(got, labels) {
			t.Errorf("%s goes to %q, want %q", role.Name, got, labels)
		}
	}
	if got := granted(view.Rules...); !slices.Equal(got["generationjobs"], []string{"get", "list", "watch"}) {
		t.Errorf("%v", got)
	}
	write := []string{"create", "delete", "deletecollection", "patch", "update"}
	got := granted(edit.Rules...)
	if !slices.Equal(got["generationjobs"], write) || !slices.Equal(got["modeldeployments"], write) || !slices.Equal(got["modeldeployments/scale"], []string{"patch", "update"}) {
		t.Errorf("%v", got)
	}
	for resource := range got {
		if strings.HasSuffix(resource, "/status") {
			t.Errorf("editors may write %s, which is the operator's", resource)
		}
	}
}
