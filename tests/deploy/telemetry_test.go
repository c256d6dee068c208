package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"
)

// scraping is what our configuration of Prometheus says; a field that is not here is a mistake.
type scraping struct {
	Global struct {
		ScrapeInterval     string `json:"scrape_interval"`
		EvaluationInterval string `json:"evaluation_interval"`
	} `json:"global"`
	RuleFiles     []string `json:"rule_files"`
	ScrapeConfigs []struct {
		JobName       string `json:"job_name"`
		Authorization struct {
			CredentialsFile string `json:"credentials_file"`
		} `json:"authorization"`
		StaticConfigs []struct {
			Targets []string          `json:"targets"`
			Labels  map[string]string `json:"labels"`
		} `json:"static_configs"`
	} `json:"scrape_configs"`
}

func TestPrometheusScrapesTheServerWithItsKeyAndHasTheChartsRules(t *testing.T) {
	project, checkout := compose(t)
	var config scraping
	if err := yaml.UnmarshalStrict(read(t, composeDirectory+"/prometheus.yaml"), &config); err != nil {
		t.Fatal(err)
	}
	prometheus := project.Services["prometheus"]
	mounted := map[string]string{}
	for _, path := range hostFiles(t, prometheus, checkout, "/etc/prometheus/rules", "*.yaml") {
		mounted["rules/"+filepath.Base(path)] = string(contents(t, path))
	}
	if len(config.RuleFiles) == 0 {
		t.Error("there are no rules")
	}
	for _, file := range config.RuleFiles {
		// There is no operator whose absence anybody need be told of.
		if text, there := mounted[file]; !there || strings.Contains(text, "absent(") {
			t.Errorf("%s is not there, or has an alert that fires without an operator", file)
		}
	}
	secrets := map[string]bool{}
	for _, secret := range prometheus.Secrets {
		secrets["/run/secrets/"+secret.Target] = secret.Source == "prometheus"
	}
	scraped := map[string]map[string]string{}
	for _, scrape := range config.ScrapeConfigs {
		for _, group := range scrape.StaticConfigs {
			for _, target := range group.Targets {
				if target == "localhost:9090" {
					continue
				}
				reaches(t, project, "prometheus", target)
				scraped[target] = group.Labels
				if !secrets[scrape.Authorization.CredentialsFile] {
					t.Errorf("%s: the key %q is not that of Prometheus", target, scrape.Authorization.CredentialsFile)
				}
			}
		}
	}
	// The rules and dashboards ask for these labels.
	if labels := scraped["server:8000"]; labels["namespace"] == "" || labels["pod"] == "" || labels["modeldeployment"] != "smollm2" {
		t.Errorf("%v", scraped)
	}
}

func TestPrometheussRightsInAClusterAreValid(t *testing.T) {
	conform(t, map[string]objects{"access": parse(t, read(t, "deploy/prometheus/access.yaml"))})
}

// The whole configuration as promtool reads it, in the places where the container has it.
func TestPromtoolAcceptsTheConfigurationWithItsRules(t *testing.T) {
	promtool := os.Getenv("PROMTOOL")
	if promtool == "" {
		promtool = tool(t, "promtool")
	}
	project, checkout := compose(t)
	container := t.TempDir()
	if err := os.Mkdir(filepath.Join(container, "rules"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, rules := range hostFiles(t, project.Services["prometheus"], checkout, "/etc/prometheus/rules", "*.yaml") {
		if err := os.WriteFile(filepath.Join(container, "rules", filepath.Base(rules)), contents(t, rules), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := filepath.Join(container, "prometheus.key")
	if err := os.WriteFile(key, []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(read(t, composeDirectory+"/prometheus.yaml")), "/run/secrets/prometheus.key", key)
	config := filepath.Join(container, "prometheus.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(promtool, "check", "config", config).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestGrafanaFindsPrometheusAndTheChartsDashboards(t *testing.T) {
	project, checkout := compose(t)
	grafana := project.Services["grafana"]
	var sources struct {
		Datasources []struct{ Type, URL string } `json:"datasources"`
	}
	if err := yaml.Unmarshal(read(t, composeDirectory+"/grafana/datasources/prometheus.yaml"), &sources); err != nil {
		t.Fatal(err)
	}
	if len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" {
		t.Fatalf("%+v", sources)
	}
	reaches(t, project, "grafana", sources.Datasources[0].URL)
	var boards struct {
		Providers []struct {
			Options struct{ Path string } `json:"options"`
		} `json:"providers"`
	}
	if err := yaml.Unmarshal(read(t, composeDirectory+"/grafana/dashboards/textnlp.yaml"), &boards); err != nil {
		t.Fatal(err)
	}
	if len(boards.Providers) != 1 {
		t.Fatalf("%+v", boards)
	}
	files := hostFiles(t, grafana, checkout, boards.Providers[0].Options.Path, "*.json")
	if len(files) == 0 {
		t.Error("there are no dashboards")
	}
	for _, file := range files {
		var board struct{ Title, UID string }
		if err := json.Unmarshal(contents(t, file), &board); err != nil || board.Title == "" || board.UID == "" {
			t.Errorf("%s: %+v: %v", file, board, err)
		}
	}
}

func TestTheCollectorHandsOnWhatItReceives(t *testing.T) {
	project, _ := compose(t)
	var config struct {
		Receivers, Processors map[string]any
		Exporters             map[string]struct{ Endpoint string }
		Service               struct {
			Pipelines map[string]struct{ Receivers, Processors, Exporters []string }
		}
	}
	if err := yaml.Unmarshal(read(t, composeDirectory+"/collector.yaml"), &config); err != nil {
		t.Fatal(err)
	}
	traces, there := config.Service.Pipelines["traces"]
	if !there || len(config.Service.Pipelines) != 1 {
		t.Fatalf("%+v", config.Service)
	}
	used := func(kind string, names []string, defined []string) {
		slices.Sort(names)
		slices.Sort(defined)
		if !slices.Equal(names, defined) {
			t.Errorf("%s: the pipeline has %q; defined are %q", kind, names, defined)
		}
	}
	used("receivers", traces.Receivers, keys(config.Receivers))
	if len(traces.Processors) == 0 || traces.Processors[0] != "memory_limiter" {
		t.Errorf("the memory is limited first: %q", traces.Processors)
	}
	used("processors", traces.Processors, keys(config.Processors))
	used("exporters", traces.Exporters, keys(config.Exporters))
	reaches(t, project, "collector", config.Exporters["otlp/jaeger"].Endpoint)
	if endpoint := field(config.Receivers["otlp"], "protocols", "http", "endpoint"); endpoint != "0.0.0.0:4318" {
		t.Errorf("%v", endpoint)
	}
	for _, sender := range []string{"server", "job"} {
		reaches(t, project, sender, "http://collector:4318")
	}
}

// hostFiles are the files of the repository that a service sees below a path.
func hostFiles(t *testing.T, service types.ServiceConfig, checkout, path, pattern string) []string {
	t.Helper()
	for _, volume := range service.Volumes {
		if volume.Target != path {
			continue
		}
		relative, err := filepath.Rel(checkout, volume.Source)
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(inRoot(relative), pattern))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	t.Fatalf("%s has nothing at %s", service.Name, path)
	return nil
}

func keys[T any](all map[string]T) []string {
	var found []string
	for key := range all {
		found = append(found, key)
	}
	return found
}
