package deploy

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

const (
	operator = "Deployment/textnlp-operator"
	gpuLabel = "nvidia.com/gpu.present"
)

func overlays(t *testing.T) map[string]objects {
	t.Helper()
	found, err := filepath.Glob(inRoot("deploy/overlays/*/kustomization.yaml"))
	if err != nil || len(found) == 0 {
		t.Fatalf("there is no overlay: %v", err)
	}
	all := map[string]objects{}
	for _, file := range found {
		directory := filepath.Dir(file)
		all[filepath.Base(directory)] = build(t, directory)
	}
	return all
}

func TestEveryOverlayIsValidAndHasAllOfTheBase(t *testing.T) {
	all := overlays(t)
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, []string{"air-gapped", "cpu", "gpu", "openshift"}) {
		t.Errorf("%q", got)
	}
	base := build(t, inRoot("deploy"))
	for name, overlay := range all {
		for key := range base {
			if _, there := overlay[key]; !there {
				t.Errorf("%s: %s is not there", name, key)
			}
		}
		if len(overlay.of("ModelDeployment")) != 1 {
			t.Errorf("%s has no model", name)
		}
	}
	all["deploy"] = base
	conform(t, all)
}

func TestTheOperatorOfEveryOverlayMeetsTheRestrictedStandard(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for name, overlay := range overlays(t) {
		pod := as[appsv1.Deployment](t, overlay[operator]).Spec.Template
		for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				t.Errorf("%s: %s: %s", name, result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
		for key, object := range overlay.of("Namespace") {
			if level := field(object, "metadata", "labels", "pod-security.kubernetes.io/enforce"); level != "restricted" {
				t.Errorf("%s: %s enforces %v", name, key, level)
			}
		}
	}
}

func TestEveryModelThatIsFetchedIsPinnedToACommit(t *testing.T) {
	commit := regexp.MustCompile(`^[0-9a-f]{40}$`)
	fetched := 0
	for name, overlay := range overlays(t) {
		for key, model := range overlay.of("ModelDeployment") {
			if hub := field(model, "spec", "source", "huggingFace"); hub != nil {
				fetched++
				if revision, _ := field(hub, "revision").(string); !commit.MatchString(revision) {
					t.Errorf("%s: %s: the revision %q is no commit", name, key, revision)
				}
			}
		}
	}
	if fetched == 0 {
		t.Error("no model is fetched")
	}
}

func TestModelsOfProcessorsFollowTheDemandAndKeepAwayFromGPUs(t *testing.T) {
	for _, name := range []string{"cpu", "openshift"} {
		model := only(t, build(t, inRoot("deploy/overlays/"+name)).of("ModelDeployment"))
		if least, most := number(t, model, "minReplicas"), number(t, model, "maxReplicas"); least < 1 || most <= least {
			t.Errorf("%s: from %v to %v servers", name, least, most)
		}
		affinity := as[corev1.Affinity](t, field(model, "spec", "pod", "affinity"))
		if !avoidsGPUs(&affinity) {
			t.Errorf("%s: the model may run on nodes with GPUs: %+v", name, affinity)
		}
	}
}

func TestModelsOfGPUsTakeOneForEachServerAndNoneAtRest(t *testing.T) {
	overlay := build(t, inRoot("deploy/overlays/gpu"))
	model := only(t, overlay.of("ModelDeployment"))
	limits := as[corev1.ResourceRequirements](t, field(model, "spec", "resources")).Limits
	if quantity := limits["nvidia.com/gpu"]; quantity.Value() != 1 {
		t.Errorf("%v", limits)
	}
	if field(model, "spec", "pod", "nodeSelector", gpuLabel) != "true" {
		t.Errorf("the model does not ask for the label %s", gpuLabel)
	}
	if number(t, model, "minReplicas") != 0 {
		t.Error("GPUs are held while nobody needs them")
	}
	tolerated := as[[]corev1.Toleration](t, field(model, "spec", "pod", "tolerations"))
	if len(tolerated) != 1 || tolerated[0].Key != "nvidia.com/gpu" || tolerated[0].Effect != "" {
		t.Errorf("%+v", tolerated)
	}
	if affinity := as[appsv1.Deployment](t, overlay[operator]).Spec.Template.Spec.Affinity; !avoidsGPUs(affinity) {
		t.Errorf("the operator may run on nodes with GPUs: %+v", affinity)
	}
}

func TestInAnAirGapEveryImageComesFromTheMirrorWithItsSecret(t *testing.T) {
	const mirror, secret = "registry.example.internal/", "registry"
	overlay := build(t, inRoot("deploy/overlays/air-gapped"))
	pod := as[appsv1.Deployment](t, overlay[operator]).Spec.Template.Spec
	for _, image := range images(pod) {
		if !strings.HasPrefix(image, mirror) {
			t.Errorf("%s is not in the mirror", image)
		}
	}
	if len(pod.ImagePullSecrets) != 1 || pod.ImagePullSecrets[0].Name != secret {
		t.Errorf("%v", pod.ImagePullSecrets)
	}
	for key, model := range overlay.of("ModelDeployment") {
		if secrets := as[[]corev1.LocalObjectReference](t, field(model, "spec", "pod", "imagePullSecrets")); len(secrets) != 1 || secrets[0].Name != secret {
			t.Errorf("%s: %v", key, secrets)
		}
		claim, _ := field(model, "spec", "source", "persistentVolumeClaim", "claimName").(string)
		if _, there := overlay["PersistentVolumeClaim/"+claim]; !there {
			t.Errorf("%s reads the claim %q, which is not there", key, claim)
		}
	}
}

// With a kustomization like the one of the air gap, and digests in the place of tags.
func TestDigestsReachTheImageOfThePodsThatTheOperatorStartsToo(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	own := t.TempDir()
	base, err := filepath.Abs(inRoot("deploy/base"))
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(own, base)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"image-fields.yaml": string(read(t, "deploy/overlays/air-gapped/image-fields.yaml")),
		"kustomization.yaml": "resources: [" + relative + "]\nconfigurations: [image-fields.yaml]\nimages:\n" +
			"- {name: textnlp.dev/textnlp-operator, newName: mirror/textnlp-operator, digest: \"" + digest + "\"}\n" +
			"- {name: textnlp.dev/textnlp, newName: mirror/textnlp, digest: \"" + digest + "\"}\n",
	} {
		if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	deployment := as[appsv1.Deployment](t, build(t, own)[operator])
	got := images(deployment.Spec.Template.Spec)
	if want := []string{"mirror/textnlp-operator@" + digest, "mirror/textnlp@" + digest}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// Nothing but the images has changed.
	plain := as[appsv1.Deployment](t, build(t, base)[operator])
	for at, variable := range deployment.Spec.Template.Spec.Containers[0].Env {
		if want := plain.Spec.Template.Spec.Containers[0].Env[at]; variable.Name != "TEXTNLP_IMAGE" && variable.String() != want.String() {
			t.Errorf("%v was %v", variable, want)
		}
	}
}

func TestInAnAirGapNoPolicyLeadsToAPublicAddress(t *testing.T) {
	policies := build(t, inRoot("deploy/overlays/air-gapped")).of("NetworkPolicy")
	var within []netip.Prefix
	// The last is where nodes' own DNS caches answer; the cloud's metadata, 169.254.169.254, are not in it.
	for _, wall := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "169.254.20.0/24"} {
		within = append(within, netip.MustParsePrefix(wall))
	}
	everyPod := map[string]bool{}
	for key, object := range policies {
		policy := as[networkingv1.NetworkPolicy](t, object)
		if !slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
			t.Errorf("%s lets everything out", key)
		}
		if len(policy.Spec.PodSelector.MatchLabels) == 0 {
			everyPod[policy.Namespace] = true
		}
		for _, rule := range policy.Spec.Egress {
			if len(rule.To) == 0 {
				t.Errorf("%s: a rule leads anywhere: %v", key, rule)
			}
			for _, peer := range rule.To {
				if peer.IPBlock == nil {
					continue // pods of this cluster
				}
				block := netip.MustParsePrefix(peer.IPBlock.CIDR)
				if !slices.ContainsFunc(within, func(wall netip.Prefix) bool {
					return wall.Contains(block.Addr()) && block.Bits() >= wall.Bits()
				}) {
					t.Errorf("%s: %v is public", key, block)
				}
			}
		}
	}
	if !everyPod["models"] {
		t.Error("pods of the namespace `models` are not held back")
	}
	for key, object := range policies {
		if !reachesPodsAt(as[networkingv1.NetworkPolicy](t, object), 53) {
			t.Errorf("%s: names are asked of pods, which to Cilium are in no ipBlock", key)
		}
	}
}

func TestOnOpenShiftTheOperatorsUserIsChosenAndTheModelsMayHaveTheirs(t *testing.T) {
	overlay := build(t, inRoot("deploy/overlays/openshift"))
	security := as[appsv1.Deployment](t, overlay[operator]).Spec.Template.Spec.SecurityContext
	if security.RunAsUser != nil || security.RunAsGroup != nil || security.RunAsNonRoot == nil || !*security.RunAsNonRoot {
		t.Errorf("%+v", security)
	}
	binding := as[rbacv1.RoleBinding](t, overlay["RoleBinding/textnlp-nonroot"])
	if binding.RoleRef.Name != "system:openshift:scc:nonroot-v2" || len(binding.Subjects) != 1 {
		t.Errorf("%+v", binding)
	}
	for key, model := range overlay.of("ModelDeployment") {
		namespace, _ := metadata(model)["namespace"].(string)
		if binding.Namespace != namespace || binding.Subjects[0].Name != "system:serviceaccounts:"+namespace {
			t.Errorf("%s is in %s; the binding: %+v", key, namespace, binding)
		}
	}
	var ports []int
	for _, rule := range as[networkingv1.NetworkPolicy](t, overlay["NetworkPolicy/textnlp-operator"]).Spec.Egress {
		for _, port := range rule.Ports {
			ports = append(ports, port.Port.IntValue())
		}
	}
	if want := []int{53, 53, 443, 6443, 8000, 9400, 5353, 5353}; !slices.Equal(ports, want) {
		t.Errorf("got %v, want %v", ports, want)
	}
}

// reachesPodsAt tells whether pods of all namespaces are reached at a port.
func reachesPodsAt(policy networkingv1.NetworkPolicy, port int) bool {
	return slices.ContainsFunc(policy.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
		return slices.ContainsFunc(rule.Ports, func(one networkingv1.NetworkPolicyPort) bool { return one.Port.IntValue() == port }) &&
			slices.ContainsFunc(rule.To, func(peer networkingv1.NetworkPolicyPeer) bool {
				return peer.NamespaceSelector != nil && len(peer.NamespaceSelector.MatchLabels)+len(peer.NamespaceSelector.MatchExpressions) == 0 &&
					peer.PodSelector == nil
			})
	})
}

// images are those of a pod's containers, and the one of the pods that the operator starts.
func images(pod corev1.PodSpec) []string {
	var found []string
	for _, container := range pod.Containers {
		found = append(found, container.Image)
		for _, variable := range container.Env {
			if variable.Name == "TEXTNLP_IMAGE" {
				found = append(found, variable.Value)
			}
		}
	}
	return found
}

func avoidsGPUs(affinity *corev1.Affinity) bool {
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return false
	}
	terms := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return len(terms) == 1 && slices.ContainsFunc(terms[0].MatchExpressions, func(term corev1.NodeSelectorRequirement) bool {
		return term.Key == gpuLabel && term.Operator == corev1.NodeSelectorOpDoesNotExist
	})
}

func number(t *testing.T, model map[string]any, name string) float64 {
	t.Helper()
	switch value := field(model, "spec", "scaling", name).(type) {
	case float64:
		return value
	case int64:
		return float64(value)
	}
	t.Fatalf("spec.scaling.%s is no number", name)
	return 0
}

func only(t *testing.T, all objects) map[string]any {
	t.Helper()
	if len(all) != 1 {
		t.Fatalf("%d objects, not one", len(all))
	}
	for _, object := range all {
		return object
	}
	return nil
}
