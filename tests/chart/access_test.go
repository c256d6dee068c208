package chart

import (
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

const reviewer = "textnlp-operator-reviewer"

// difference is what the objects of one rendering have that those of another lack.
func difference(t *testing.T, values, other string) []string {
	t.Helper()
	more, less := render(t, values), render(t, other)
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(more)) {
		if !less.has(key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func TestServersThatKnowTheirCallersNeedTheseObjectsMore(t *testing.T) {
	want := []string{"ClusterRole/textnlp-invoker", "ClusterRole/" + reviewer, "ClusterRoleBinding/" + reviewer}
	if got := difference(t, variants["access"], `{}`); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := difference(t, variants["own access"], `rbac: {create: false}`); !slices.Equal(got, []string{"ClusterRole/textnlp-invoker"}) {
		t.Errorf("%q", got)
	}
	if got := difference(t, `servers: {access: {kubernetes: {enabled: true, reviewers: []}}}`, `{}`); slices.Contains(got, "ClusterRoleBinding/"+reviewer) {
		t.Errorf("%q", got)
	}
}

func TestTheAccountsOfServersMayHaveCallersReviewedAndNothingElse(t *testing.T) {
	role := as[rbacv1.ClusterRole](t, render(t, variants["access"]), "ClusterRole/"+reviewer)
	if got := granted(role.Rules...); !got.equal(rights{"tokenreviews": {"create"}, "subjectaccessreviews": {"create"}}) {
		t.Errorf("%v", got)
	}
	if got := role.Labels["app.kubernetes.io/component"]; got != "server" {
		t.Errorf("it is counted among the rights of %q", got)
	}
	for variant, want := range map[string][]rbacv1.Subject{
		"access": {{Kind: "Group", APIGroup: "rbac.authorization.k8s.io", Name: "system:serviceaccounts"}},
		"all access": {
			{Kind: "Group", APIGroup: "rbac.authorization.k8s.io", Name: "system:serviceaccounts:team-a"},
			{Kind: "ServiceAccount", Name: "mine", Namespace: "team-b"},
		},
	} {
		binding := as[rbacv1.ClusterRoleBinding](t, render(t, variants[variant]), "ClusterRoleBinding/"+reviewer)
		if !slices.Equal(binding.Subjects, want) || binding.RoleRef.Name != reviewer {
			t.Errorf("%s: %v", variant, binding)
		}
	}
}

func TestTheOperatorMayReadModelsOnlyWhereServersAskForIt(t *testing.T) {
	for values, want := range map[string][]string{
		`{}`:               {"list", "watch"},
		variants["access"]: {"get", "list", "watch"},
	} {
		rules := as[rbacv1.ClusterRole](t, render(t, values), "ClusterRole/textnlp-operator").Rules
		if got := granted(rules...)["modeldeployments"]; !slices.Equal(got, want) {
			t.Errorf("%s: %q", values, got)
		}
	}
}

func TestWhoMayInvokeIsBoundAndEditorsMay(t *testing.T) {
	for values, want := range map[string][]string{
		variants["access"]: {"admin", "edit"},
		`{rbac: {aggregateClusterRoles: false}, servers: {access: {kubernetes: {enabled: true}}}}`: nil,
	} {
		role := as[rbacv1.ClusterRole](t, render(t, values), "ClusterRole/textnlp-invoker")
		if got := granted(role.Rules...); !got.equal(rights{"modeldeployments": {"invoke"}}) {
			t.Errorf("%v", got)
		}
		var got []string
		for label := range role.Labels {
			if name, is := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-"); is {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: goes to %q", values, got)
		}
	}
}

func TestTheOperatorHasATokenForServersThatAskForOne(t *testing.T) {
	pod := func(values string) corev1.PodSpec {
		return as[appsv1.Deployment](t, render(t, values), operator).Spec.Template.Spec
	}
	if spec := pod(`{}`); len(spec.Volumes) != 0 || len(spec.Containers[0].VolumeMounts) != 0 {
		t.Errorf("%v", spec)
	}
	spec := pod(variants["all access"])
	token := spec.Volumes[0].Projected.Sources[0].ServiceAccountToken
	if token.Audience != "models" || token.Path != "token" || *token.ExpirationSeconds != 3600 {
		t.Errorf("%v", token)
	}
	mount := spec.Containers[0].VolumeMounts[0]
	if mount.Name != spec.Volumes[0].Name || mount.MountPath != "/var/run/secrets/textnlp.dev" || !mount.ReadOnly {
		t.Errorf("%v", mount)
	}
	if text := readFile(t, "crds/src/task.rs"); !strings.Contains(text, `"`+mount.MountPath+`/`+token.Path+`"`) {
		t.Errorf("crds/src/task.rs has the token elsewhere than %s", mount.MountPath)
	}
	got := map[string]string{}
	for _, variable := range spec.Containers[0].Env {
		got[variable.Name] = variable.Value
	}
	for name, want := range map[string]string{
		"TEXTNLP_KUBERNETES_ACCESS": "true", "TEXTNLP_KUBERNETES_AUDIENCE": "models",
		"TEXTNLP_API_SERVER":  `{"ports":[443,6443],"to":[]}`,
		"TEXTNLP_KEYS_SECRET": "textnlp-keys", "TEXTNLP_KEYS_SECRET_KEY": "keys.yaml",
		"TEXTNLP_OIDC_ISSUER": "https://id.example/realm", "TEXTNLP_OIDC_AUDIENCE": "models", "TEXTNLP_OIDC_ALGORITHMS": "RS256,ES256",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, not %q", name, got[name], want)
		}
	}
}

func TestKeysAndOIDCAreRefusedWithoutWhatWorkersAreKnownBy(t *testing.T) {
	const needed = "servers.access.kubernetes.enabled is needed"
	for values, want := range map[string]string{
		`servers: {access: {keysSecret: {name: textnlp-keys}}}`:                                  needed,
		`servers: {access: {oidc: {issuer: "https://id.example", audience: models}}}`:            needed,
		`servers: {access: {kubernetes: {enabled: true}, oidc: {issuer: "https://id.example"}}}`: "belong together",
		`servers: {access: {kubernetes: {enabled: true}, oidc: {audience: models}}}`:             "belong together",
		`servers: {access: {oidc: {issuer: "http://id.example", audience: models}}}`:             "/servers/access/oidc/issuer",
		`servers: {access: {kubernetes: {audience: ""}}}`:                                        "/servers/access/kubernetes/audience",
		`servers: {access: {kubernetes: {reviewers: [{kind: ServiceAccount, name: a}]}}}`:        "missing property 'namespace'",
		`servers: {access: {kubernetes: {reviewers: [{kind: Role, name: a}]}}}`:                  "/servers/access/kubernetes/reviewers/0/kind",
		`servers: {access: {keysSecret: {key: a/b}}}`:                                            "/servers/access/keysSecret/key",
		`servers: {access: {kubernetes: {enable: true}}}`:                                        "'enable' not allowed",
	} {
		text, err := helm(t, values, "template", "textnlp-operator", chart)
		if err == nil || !strings.Contains(text, want) {
			t.Errorf("%s: %v: %q is not in %s", values, err, want, text)
		}
	}
}
