package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
)

// source is a Go module that carries schemas of the kinds that its program knows.
type source struct {
	module, version string
	// crds are files or directories in it; none: it is Kubernetes.
	crds []string
}

// What our manifests use. Kubernetes is of the test cluster's version; the others are of this language version.
var sources = []source{
	{module: "k8s.io/kubernetes", version: "v1.34.4"},
	{module: "github.com/argoproj/argo-cd/v3", version: "v3.4.0", crds: []string{
		"manifests/crds/application-crd.yaml", "manifests/crds/appproject-crd.yaml"}},
	{module: "github.com/fluxcd/source-controller", version: "v1.9.0", crds: []string{"config/crd/bases"}},
	{module: "github.com/fluxcd/kustomize-controller", version: "v1.9.0", crds: []string{"config/crd/bases"}},
	{module: "github.com/fluxcd/helm-controller", version: "v1.6.0", crds: []string{"config/crd/bases"}},
	{module: "github.com/prometheus-operator/prometheus-operator", version: "v0.85.0", crds: []string{
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"}},
}

// build writes the schemas of all sources.
func build(directory string) error {
	for _, source := range sources {
		root, err := download(source.module + "@" + source.version)
		if err != nil {
			return err
		}
		if source.crds == nil {
			if err := writeKubernetes(directory, filepath.Join(root, "api/openapi-spec/swagger.json")); err != nil {
				return err
			}
		}
		for _, crds := range source.crds {
			if err := writeCRDs(directory, filepath.Join(root, crds), beside); err != nil {
				return err
			}
		}
	}
	return nil
}

// download brings a module into Go's own cache, and says where it lies.
func download(module string) (string, error) {
	var found struct{ Dir, Error string }
	var complaint bytes.Buffer
	command := exec.Command("go", "mod", "download", "-json", module)
	command.Stderr = &complaint
	text, failed := command.Output()
	if err := json.Unmarshal(text, &found); err != nil || found.Error != "" || failed != nil {
		return "", fmt.Errorf("go mod download %s: %s%s", module, found.Error, complaint.String())
	}
	return found.Dir, nil
}
