package chart

import (
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

const operator = "Deployment/textnlp-operator"

// Values that people set, one variant each.
var variants = map[string]string{
	"defaults":        `{}`,
	"two namespaces":  `watchNamespaces: [team-a, team-b]`,
	"one replica":     `replicas: 1`,
	"no replica":      `replicas: 0`,
	"digests":         `{image: {digest: "sha256:` + digest + `"}, workloadImage: {digest: "sha256:` + digest + `"}}`,
	"no registry":     `{image: {registry: ""}, workloadImage: {registry: ""}}`,
	"nothing extra":   `{crds: {install: false}, rbac: {create: false}, serviceAccount: {create: false, name: mine}, networkPolicy: {enabled: false}, podDisruptionBudget: {enabled: false}}`,
	"openshift":       `podSecurityContext: {runAsUser: null, runAsGroup: null}`,
	"prometheus":      `{serviceMonitor: {enabled: true, namespace: monitoring, labels: {release: prometheus}}, networkPolicy: {ingressFrom: [{namespaceSelector: {}}]}}`,
	"own API server":  `networkPolicy: {apiServer: {ports: [8443], to: [{ipBlock: {cidr: 198.18.0.1/32}}]}, extraEgress: [{ports: [{port: 443}]}]}`,
	"placement":       `{nodeSelector: {pool: system, kubernetes.io/os: linux}, tolerations: [{key: system, operator: Exists, effect: NoSchedule}], affinity: {nodeAffinity: {}}, priorityClassName: system-cluster-critical, topologySpreadConstraints: [{topologyKey: rack, maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]}`,
	"labels":          `{commonLabels: {team: data}, podLabels: {mesh: off}, podAnnotations: {note: hello, kubectl.kubernetes.io/default-container: operator}, serviceAccount: {annotations: {a: b}}, service: {labels: {c: d}, annotations: {e: f}}}`,
	"environment":     `{env: [{name: HTTPS_PROXY, value: "http://proxy:3128"}], imagePullSecrets: [{name: mirror}], logLevel: "info,kube=debug"}`,
	"CRD annotations": `crds: {keep: false, annotations: {argocd.argoproj.io/sync-options: Prune=false}}`,
	"a parent chart":  `{enabled: true, global: {anything: 1}}`,
	"other names":     `{nameOverride: tn, fullnameOverride: text}`,
	"access":          `servers: {access: {kubernetes: {enabled: true}}}`,
	"all access":      `servers: {access: {kubernetes: {enabled: true, audience: models, reviewers: [{kind: Group, name: "system:serviceaccounts:team-a"}, {kind: ServiceAccount, name: mine, namespace: team-b}]}, keysSecret: {name: textnlp-keys}, oidc: {issuer: "https://id.example/realm", audience: models, algorithms: [RS256, ES256]}}}`,
	"own access":      `{rbac: {create: false}, servers: {access: {kubernetes: {enabled: true, reviewers: []}}}}`,
	"observed":        `{serviceMonitor: {enabled: true}, podMonitor: {enabled: true, labels: {a: b}, authorization: {secret: {name: textnlp-metrics}}, metricRelabelings: [{action: drop, sourceLabels: [__name__], regex: "vllm:.*_bucket"}]}, prometheusRule: {enabled: true, alertLabels: {team: data}, additionalGroups: [{name: mine, rules: [{record: a, expr: 1}]}]}, dashboards: {enabled: true, annotations: {grafana_folder: TextNLP}}}`,
	"traces":          `tracing: {endpoint: "http://collector:4318", sampler: parentbased_traceidratio, samplerArg: "0.1", headersSecret: {name: traces}}`,
	"test of a model": `{watchNamespaces: [team-a], imagePullSecrets: [{name: mirror}], nodeSelector: {pool: cpu}, tests: {namespace: team-a, storageClassName: fast, timeoutSeconds: 900, model: {source: {persistentVolumeClaim: {claimName: models, path: a.gguf}}, resources: {requests: {cpu: 1}}}}}`,
	"no test":         `tests: {enabled: false}`,
}

const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func init() {
	// YAML reads `off` as a boolean, and labels are strings.
	variants["labels"] = strings.Replace(variants["labels"], "off", `"off"`, 1)
}

func TestEveryVariantRendersLintsAndHasOnlyKnownFields(t *testing.T) {
	for name, values := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			renderWithTests(t, values).check(t)
			if text, err := helm(t, values, "lint", "--strict", "--quiet", chart); err != nil {
				t.Errorf("helm lint: %s", text)
			}
		})
	}
}

func TestEveryVariantMeetsTheRestrictedPodSecurityStandard(t *testing.T) {
	for name, values := range variants {
		all := renderWithTests(t, values)
		for key := range all {
			var pod corev1.PodTemplateSpec
			switch kind, _, _ := strings.Cut(key, "/"); kind {
			case "Deployment":
				pod = as[appsv1.Deployment](t, all, key).Spec.Template
			case "Pod":
				pod = corev1.PodTemplateSpec{Spec: as[corev1.Pod](t, all, key).Spec}
			default:
				continue
			}
			for _, violation := range violations(t, pod.ObjectMeta, pod.Spec) {
				t.Errorf("%s: %s: %s", name, key, violation)
			}
		}
	}
}

func TestAValueThatBreaksTheRestrictedStandardIsSeen(t *testing.T) {
	pod := as[appsv1.Deployment](t, render(t, `securityContext: {allowPrivilegeEscalation: true}`), operator).Spec.Template
	if got := violations(t, pod.ObjectMeta, pod.Spec); len(got) != 1 || !strings.Contains(got[0], "allowPrivilegeEscalation") {
		t.Errorf("%q", got)
	}
}

// violations are what an API server says against a pod in a restricted namespace.
func violations(t *testing.T, metadata metav1.ObjectMeta, pod corev1.PodSpec) []string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(restricted, &metadata, &pod) {
		if !result.Allowed {
			found = append(found, result.ForbiddenReason+": "+result.ForbiddenDetail)
		}
	}
	return found
}

func TestTheExamplesOfTheReadmeAreValues(t *testing.T) {
	text, _, _ := strings.Cut(readFile(t, "charts/textnlp-operator/README.md.in"), "## Try it")
	_, text, _ = strings.Cut(text, "## Examples")
	var examples []string
	for block := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(block, "    ") {
			examples = append(examples, strings.ReplaceAll(block, "\n    ", "\n")[4:])
		}
	}
	if len(examples) < 8 {
		t.Fatalf("%q", examples)
	}
	for _, values := range examples {
		renderWithTests(t, values).check(t)
	}
}

func TestByDefaultTheReleaseHasTheseObjects(t *testing.T) {
	want := []string{
		"ClusterRole/textnlp-edit", "ClusterRole/textnlp-operator", "ClusterRole/textnlp-view",
		"ClusterRoleBinding/textnlp-operator",
		"CustomResourceDefinition/generationjobs.textnlp.dev", "CustomResourceDefinition/modeldeployments.textnlp.dev",
		"Deployment/textnlp-operator", "NetworkPolicy/textnlp-operator", "PodDisruptionBudget/textnlp-operator",
		"Role/textnlp-operator-lease", "RoleBinding/textnlp-operator-lease",
		"Service/textnlp-operator", "ServiceAccount/textnlp-operator",
	}
	if got := slices.Sorted(maps.Keys(render(t, variants["defaults"]))); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestSwitchesLeaveOutWhatTheyName(t *testing.T) {
	got := slices.Sorted(maps.Keys(render(t, variants["nothing extra"])))
	want := []string{"ClusterRole/textnlp-edit", "ClusterRole/textnlp-view", operator, "Service/textnlp-operator"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, variant := range []string{"one replica", "no replica"} {
		if render(t, variants[variant]).has("PodDisruptionBudget/textnlp-operator") {
			t.Errorf("%s: a budget would block every drain", variant)
		}
	}
	budget := as[policyv1.PodDisruptionBudget](t, render(t, `{}`), "PodDisruptionBudget/textnlp-operator")
	if budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("%v", budget.Spec.MaxUnavailable)
	}
}

func TestTheContainerGetsWhatTheOperatorReads(t *testing.T) {
	container := func(values string) corev1.Container {
		return as[appsv1.Deployment](t, render(t, values), operator).Spec.Template.Spec.Containers[0]
	}
	environment := func(values string) map[string]string {
		found := map[string]string{}
		for _, variable := range container(values).Env {
			found[variable.Name] = variable.Value
			if variable.ValueFrom != nil {
				found[variable.Name] = variable.ValueFrom.FieldRef.FieldPath
			}
		}
		return found
	}
	want := map[string]string{
		"TEXTNLP_IMAGE": "textnlp.dev/textnlp:0.1.0", "TEXTNLP_IMAGE_PULL_POLICY": "IfNotPresent",
		"TEXTNLP_NAMESPACES": "", "TEXTNLP_LOG": "info", "TEXTNLP_LOG_FORMAT": "json", "TEXTNLP_LEASE_NAME": "textnlp-operator",
		"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace",
	}
	if got := environment(`{}`); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got := container(`{}`).Args; !slices.Equal(got, []string{"--listen", "0.0.0.0:8080"}) {
		t.Errorf("%q", got)
	}
	for values, images := range map[string][2]string{
		`{}`:                    {"textnlp.dev/textnlp-operator:0.1.0", "textnlp.dev/textnlp:0.1.0"},
		variants["digests"]:     {"textnlp.dev/textnlp-operator@sha256:" + digest, "textnlp.dev/textnlp@sha256:" + digest},
		variants["no registry"]: {"textnlp-operator:0.1.0", "textnlp:0.1.0"},
		`{image: {registry: "mirror:5000/a", tag: v2}, workloadImage: {tag: v3}}`: {"mirror:5000/a/textnlp-operator:v2", "textnlp.dev/textnlp:v3"},
	} {
		if got := [2]string{container(values).Image, environment(values)["TEXTNLP_IMAGE"]}; got != images {
			t.Errorf("%s: got %q, want %q", values, got, images)
		}
	}
	if got := environment(variants["two namespaces"])["TEXTNLP_NAMESPACES"]; got != "team-a,team-b" {
		t.Errorf("%q", got)
	}
	if got := environment(variants["environment"])["HTTPS_PROXY"]; got != "http://proxy:3128" {
		t.Errorf("%q", got)
	}
}

func TestTheOperatorReadsEveryVariableAndFlagThatTheChartSets(t *testing.T) {
	const settings = "operator/src/{config,access}.rs"
	text := readFile(t, "operator/src/config.rs") + readFile(t, "operator/src/access.rs")
	// Traces are tested in monitoring_test.go.
	container := as[appsv1.Deployment](t, render(t, variants["all access"]), operator).Spec.Template.Spec.Containers[0]
	for _, variable := range container.Env {
		if !strings.Contains(text, `env = "`+variable.Name+`"`) {
			t.Errorf("%s does not read %s", settings, variable.Name)
		}
	}
	for _, argument := range container.Args {
		if flag, is := strings.CutPrefix(argument, "--"); is && !strings.Contains(text, "pub "+strings.ReplaceAll(flag, "-", "_")+":") {
			t.Errorf("%s has no flag %s", settings, argument)
		}
	}
}

func TestEverySelectorMatchesThePodsAndEveryBindingItsRoleAndAccount(t *testing.T) {
	for _, values := range []string{variants["defaults"], variants["labels"], variants["other names"], variants["two namespaces"]} {
		all := render(t, values)
		name := "textnlp-operator"
		if values == variants["other names"] {
			name = "text"
		}
		deployment := as[appsv1.Deployment](t, all, "Deployment/"+name)
		labels := deployment.Spec.Template.Labels
		selectors := map[string]map[string]string{
			"Deployment":          deployment.Spec.Selector.MatchLabels,
			"Service":             as[corev1.Service](t, all, "Service/"+name).Spec.Selector,
			"NetworkPolicy":       as[networkingv1.NetworkPolicy](t, all, "NetworkPolicy/"+name).Spec.PodSelector.MatchLabels,
			"PodDisruptionBudget": as[policyv1.PodDisruptionBudget](t, all, "PodDisruptionBudget/"+name).Spec.Selector.MatchLabels,
		}
		for kind, selector := range selectors {
			for label, value := range selector {
				if labels[label] != value {
					t.Errorf("%s selects %s=%s; the pods have %q", kind, label, value, labels[label])
				}
			}
		}
		for key, object := range all {
			role, bound := object["roleRef"].(map[string]any)
			if !bound {
				continue
			}
			if want := role["kind"].(string) + "/" + role["name"].(string); !all.has(want) {
				t.Errorf("%s binds %s, which is not there", key, want)
			}
			subject := object["subjects"].([]any)[0].(map[string]any)
			if subject["namespace"] != "textnlp-system" || subject["name"] != deployment.Spec.Template.Spec.ServiceAccountName {
				t.Errorf("%s binds %v; the pods run as %s", key, subject, deployment.Spec.Template.Spec.ServiceAccountName)
			}
		}
	}
}

func TestTheNetworkPolicyLetsOutWhatIsNeededAndNothingElse(t *testing.T) {
	ports := func(values string) (in, out []string) {
		spec := as[networkingv1.NetworkPolicy](t, render(t, values), "NetworkPolicy/textnlp-operator").Spec
		for _, rule := range spec.Ingress {
			for _, port := range rule.Ports {
				in = append(in, port.Port.String())
			}
		}
		for _, rule := range spec.Egress {
			for _, port := range rule.Ports {
				out = append(out, port.Port.String())
			}
		}
		return in, out
	}
	in, out := ports(`{}`)
	if !slices.Equal(in, []string{"8080"}) || !slices.Equal(out, []string{"53", "53", "443", "6443", "8000", "9400"}) {
		t.Errorf("in %q, out %q", in, out)
	}
	if _, out := ports(variants["own API server"]); !slices.Equal(out, []string{"53", "53", "8443", "8000", "9400", "443"}) {
		t.Errorf("out %q", out)
	}
	peers := as[networkingv1.NetworkPolicy](t, render(t, `{}`), "NetworkPolicy/textnlp-operator").Spec.Egress[2].To
	want := map[string]string{"app.kubernetes.io/name": "textnlp", "app.kubernetes.io/managed-by": "textnlp-operator"}
	if len(peers) != 1 || !maps.Equal(peers[0].PodSelector.MatchLabels, want) {
		t.Errorf("%v", peers)
	}
}
