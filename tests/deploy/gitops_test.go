package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

const (
	argo = "deploy/argocd/examples/"
	flux = "deploy/flux"
)

// release is the tag of the version that the chart has.
func release(t *testing.T) string {
	t.Helper()
	var chart struct {
		Version string `json:"version"`
	}
	if err := yaml.Unmarshal(read(t, "charts/textnlp-operator/Chart.yaml"), &chart); err != nil {
		t.Fatal(err)
	}
	return "v" + chart.Version
}

// applications are those of the app of apps, and itself.
func applications(t *testing.T) objects {
	t.Helper()
	files, err := filepath.Glob(inRoot(argo + "apps/*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%q: %v", files, err)
	}
	var text []byte
	for _, file := range append(files, inRoot(argo+"app-of-apps.yaml")) {
		one, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, "\n---\n"...), one...)
	}
	return parse(t, text)
}

func TestArgosExamplesAreValidAndNameWhatIsInTheRepository(t *testing.T) {
	all := applications(t)
	single := parse(t, read(t, argo+"application.yaml"))
	conform(t, map[string]objects{"app-of-apps": all, "application": single})
	for key, application := range all.of("Application") {
		checkSource(t, key, application)
	}
	for key, application := range single {
		checkSource(t, key, application)
	}
}

func checkSource(t *testing.T, key string, application map[string]any) {
	t.Helper()
	source := field(application, "spec", "source")
	if revision := field(source, "targetRevision"); revision != release(t) {
		t.Errorf("%s is at %v; the chart is %s", key, revision, release(t))
	}
	path, _ := field(source, "path").(string)
	entries, err := os.ReadDir(inRoot(path))
	if err != nil || len(entries) == 0 {
		t.Errorf("%s: %v", key, err)
	}
}

func TestArgosWavesAreProjectThenCRDsThenOperatorThenModels(t *testing.T) {
	all := applications(t)
	order := []string{"AppProject/textnlp", "Application/textnlp-crds", "Application/textnlp-operator", "Application/textnlp-models"}
	var waves []int
	for _, key := range order {
		text, _ := field(all[key], "metadata", "annotations", "argocd.argoproj.io/sync-wave").(string)
		wave, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		waves = append(waves, wave)
	}
	if unique := slices.Compact(slices.Clone(waves)); !slices.IsSorted(waves) || len(unique) != len(order) {
		t.Errorf("%v", waves)
	}
	if len(all) != len(order)+1 {
		t.Errorf("%v: some have no wave here", slices.Sorted(maps.Keys(all)))
	}
	// Argo CD waits for a wave only where it knows the health of an Application.
	if patch := string(read(t, "deploy/argocd/argocd-cm.yaml")); !strings.Contains(patch, "resource.customizations.health.argoproj.io_Application:") {
		t.Error("argocd-cm.yaml has no health script of Application")
	}
}

func TestNothingInArgoTakesTheCRDsAway(t *testing.T) {
	const keeps = "Prune=false,Delete=false"
	crds := applications(t)["Application/textnlp-crds"]
	if options := field(crds, "spec", "source", "kustomize", "commonAnnotations", "argocd.argoproj.io/sync-options"); options != keeps {
		t.Errorf("the CRDs have the options %v", options)
	}
	if field(crds, "spec", "syncPolicy", "automated", "prune") != false || metadata(crds)["finalizers"] != nil {
		t.Error("deleting the application, or a file of it, deletes CRDs")
	}
	single := manifest(t, argo+"application.yaml")
	rendered := render(t, "charts/textnlp-operator", field(single, "spec", "source", "helm", "valuesObject")).of("CustomResourceDefinition")
	if len(rendered) != 2 {
		t.Errorf("%v", slices.Sorted(maps.Keys(rendered)))
	}
	for key, crd := range rendered {
		if options := field(crd, "metadata", "annotations", "argocd.argoproj.io/sync-options"); options != keeps {
			t.Errorf("%s: %v", key, options)
		}
	}
}

func TestArgosApplicationsTogetherAreThePlatformAndTheProjectAllowsIt(t *testing.T) {
	all := applications(t)
	helm := field(all["Application/textnlp-operator"], "spec", "source", "helm", "valuesObject")
	parts := []objects{
		build(t, inRoot("deploy/base/crds")),
		render(t, "charts/textnlp-operator", helm),
		build(t, inRoot("deploy/models/cpu")),
	}
	whole := objects{}
	for _, part := range parts {
		for key, object := range part {
			if _, twice := whole[key]; twice {
				t.Errorf("two applications have %s", key)
			}
			whole[key] = object
		}
	}
	for key := range build(t, inRoot("deploy/overlays/cpu")) {
		if _, there := whole[key]; !there && key != "Namespace/textnlp-system" { // CreateNamespace makes it
			t.Errorf("no application has %s", key)
		}
	}
	project := all["AppProject/textnlp"]
	allowed := map[string]bool{}
	for _, kind := range field(project, "spec", "clusterResourceWhitelist").([]any) {
		allowed[fmt.Sprintf("%s/%s", field(kind, "group"), field(kind, "kind"))] = true
	}
	needed := map[string]bool{"/Namespace": true}
	for _, object := range whole {
		group, _, grouped := strings.Cut(object["apiVersion"].(string), "/")
		if !grouped {
			group = ""
		}
		if metadata(object)["namespace"] == nil {
			needed[fmt.Sprintf("%s/%s", group, object["kind"])] = true
		}
	}
	if !maps.Equal(allowed, needed) {
		t.Errorf("the project allows %v; needed are %v", allowed, needed)
	}
	for key, application := range all.of("Application") {
		if field(application, "spec", "project") == "default" {
			continue // the app of apps
		}
		if !slices.ContainsFunc(field(project, "spec", "destinations").([]any), func(destination any) bool {
			return fmt.Sprint(destination) == fmt.Sprint(field(application, "spec", "destination"))
		}) {
			t.Errorf("the project does not allow the destination of %s", key)
		}
		if !slices.Contains(field(project, "spec", "sourceRepos").([]any), field(application, "spec", "source", "repoURL")) {
			t.Errorf("the project does not allow the source of %s", key)
		}
	}
}

func TestArgoLeavesAloneWhatOthersWrite(t *testing.T) {
	models := applications(t)["Application/textnlp-models"]
	if !slices.Contains(field(models, "spec", "syncPolicy", "syncOptions").([]any), any("RespectIgnoreDifferences=true")) {
		t.Error("a sync writes what is ignored")
	}
	kinds := map[string]string{"ModelDeployment": "crds/modeldeployment.yaml", "GenerationJob": "crds/generationjob.yaml"}
	ignored := field(models, "spec", "ignoreDifferences").([]any)
	if len(ignored) != len(kinds) {
		t.Errorf("%v", ignored)
	}
	for _, difference := range ignored {
		crd := manifest(t, kinds[field(difference, "kind").(string)])
		versions := field(crd, "spec", "versions").([]any)
		schema := field(versions[0], "schema", "openAPIV3Schema")
		for _, pointer := range field(difference, "jsonPointers").([]any) {
			at := schema
			for name := range strings.SplitSeq(strings.TrimPrefix(pointer.(string), "/"), "/") {
				at = field(at, "properties", name)
			}
			if at == nil {
				t.Errorf("%v has no field %v", field(difference, "kind"), pointer)
			}
		}
	}
}

func TestFluxsExamplesAreValidAndComeAfterEachOther(t *testing.T) {
	all := build(t, inRoot(flux))
	git, oci := build(t, inRoot(flux+"/operator")), build(t, inRoot(flux+"/operator-oci"))
	conform(t, map[string]objects{"flux": all, "operator": git, "operator-oci": oci})

	steps := all.of("Kustomization")
	for after, before := range map[string]string{"textnlp-crds": "", "textnlp-operator": "textnlp-crds", "textnlp-models": "textnlp-operator"} {
		step, there := steps["Kustomization/"+after]
		if !there {
			t.Fatalf("there is no %s", after)
		}
		var names []string
		needs, _ := field(step, "spec", "dependsOn").([]any)
		for _, need := range needs {
			names = append(names, field(need, "name").(string))
		}
		if got := strings.Join(names, ","); got != before {
			t.Errorf("%s depends on %q, not on %q", after, got, before)
		}
		if field(step, "spec", "wait") != true {
			t.Errorf("%s is done before its objects are", after)
		}
		path, _ := field(step, "spec", "path").(string)
		if len(build(t, inRoot(path))) == 0 {
			t.Errorf("%s: %s is empty", after, path)
		}
		source := fmt.Sprintf("%v/%v", field(step, "spec", "sourceRef", "kind"), field(step, "spec", "sourceRef", "name"))
		if _, there := all[source]; !there {
			t.Errorf("%s: there is no %s", after, source)
		}
	}
	if len(steps) != 3 {
		t.Errorf("%v", slices.Sorted(maps.Keys(steps)))
	}
	repository := all["GitRepository/textnlp"]
	if tag := field(repository, "spec", "ref", "tag"); tag != release(t) {
		t.Errorf("the tag is %v; the chart is %s", tag, release(t))
	}
	ignored, _ := field(repository, "spec", "ignore").(string)
	for _, needed := range []string{"!/charts\n", "!/deploy\n"} {
		if !strings.Contains(ignored, needed) {
			t.Errorf("%q is not stored", needed)
		}
	}
}

func TestNothingInFluxTakesTheCRDsAway(t *testing.T) {
	crds := build(t, inRoot(flux))["Kustomization/textnlp-crds"]
	if field(crds, "spec", "prune") != false || field(crds, "spec", "deletionPolicy") != "Orphan" {
		t.Errorf("%v", crds["spec"])
	}
	for _, directory := range []string{"/operator", "/operator-oci"} {
		helm := build(t, inRoot(flux+directory))["HelmRelease/textnlp-operator"]
		rendered := render(t, "charts/textnlp-operator", field(helm, "spec", "values"))
		if found := rendered.of("CustomResourceDefinition"); len(found) != 0 {
			t.Errorf("%s: %v", directory, slices.Sorted(maps.Keys(found)))
		}
		if _, there := rendered[operator]; !there {
			t.Errorf("%s: there is no operator", directory)
		}
	}
}

func TestFluxsReleaseComesFromTheRepositoryOrFromARegistry(t *testing.T) {
	git := build(t, inRoot(flux+"/operator"))["HelmRelease/textnlp-operator"]
	if chart, _ := field(git, "spec", "chart", "spec", "chart").(string); chart == "" {
		t.Error("there is no chart")
	} else if _, err := os.Stat(inRoot(filepath.Join(chart, "Chart.yaml"))); err != nil {
		t.Error(err)
	}
	if name := field(git, "spec", "chart", "spec", "sourceRef", "name"); name != "textnlp" {
		t.Errorf("the chart's source is %v", name)
	}
	all := build(t, inRoot(flux+"/operator-oci"))
	oci := all["HelmRelease/textnlp-operator"]
	reference := fmt.Sprintf("%v/%v", field(oci, "spec", "chartRef", "kind"), field(oci, "spec", "chartRef", "name"))
	if _, there := all[reference]; !there || field(oci, "spec", "chart") != nil {
		t.Errorf("chartRef is %s, and chart %v", reference, field(oci, "spec", "chart"))
	}
	duration := func(object map[string]any) time.Duration {
		text, _ := field(object, "spec", "timeout").(string)
		found, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if outer, inner := duration(build(t, inRoot(flux))["Kustomization/textnlp-operator"]), duration(git); outer <= inner {
		t.Errorf("the Kustomization gives up after %v, its HelmRelease after %v", outer, inner)
	}
	values := func(release map[string]any) string {
		text, err := json.Marshal(field(release, "spec", "values"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if values(git) != values(oci) {
		t.Error("the two have other values")
	}
}
