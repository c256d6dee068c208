package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// chartWith is a copy of the chart with further files, so that a test does not depend on what rules and dashboards there are.
func chartWith(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "textnlp-operator")
	if err := os.CopyFS(directory, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func TestSeriesOfPodsHaveTheLabelsAndPortsThatTheOperatorGivesThem(t *testing.T) {
	all := render(t, variants["observed"])
	task := readFile(t, "crds/src/task.rs")
	annotation := "textnlp.dev/owner-name"
	if !strings.Contains(task, `"`+annotation+`"`) {
		t.Fatalf("crds/src/task.rs has no %s", annotation)
	}
	for component, port := range map[string]struct{ file, name, number string }{
		"server": {"operator/src/model/network.rs", "http", "pub const SERVER_PORT: u16 = 8000;"},
		"worker": {"operator/src/job/build/jobs.rs", "metrics", "pub const WORKER_METRICS_PORT: u16 = 9400;"},
	} {
		monitor := as[monitoringv1.PodMonitor](t, all, "PodMonitor/textnlp-operator-"+component+"s")
		want := map[string]string{
			"app.kubernetes.io/name": "textnlp", "app.kubernetes.io/managed-by": "textnlp-operator", "app.kubernetes.io/component": component,
		}
		if got := monitor.Spec.Selector.MatchLabels; !maps.Equal(got, want) {
			t.Errorf("%s: selects %v", component, got)
		}
		endpoint := monitor.Spec.PodMetricsEndpoints[0]
		if *endpoint.Port != port.name || endpoint.Path != "/metrics" {
			t.Errorf("%s: scrapes %s of port %s", component, endpoint.Path, *endpoint.Port)
		}
		if text := readFile(t, port.file); !strings.Contains(text, `"`+port.name+`"`) || !strings.Contains(task, port.number) {
			t.Errorf("%s names no port %q, or it is another", port.file, port.name)
		}
		source := "__meta_kubernetes_pod_annotation_" + strings.NewReplacer(".", "_", "/", "_", "-", "_").Replace(annotation)
		if got := endpoint.RelabelConfigs[0].SourceLabels; len(got) != 1 || string(got[0]) != source {
			t.Errorf("%s: %v", component, got)
		}
	}
	meta := readFile(t, "operator/src/meta.rs")
	for _, line := range []string{`NAME_VALUE: &str = "textnlp"`, `MANAGED_BY_VALUE: &str = "textnlp-operator"`} {
		if !strings.Contains(meta, line) {
			t.Errorf("operator/src/meta.rs has no %s", line)
		}
	}
}

const rules = `# A comment.
groups:
  - name: slo
    interval: 30s
    rules:
      - record: textnlp:requests:rate5m
        expr: sum by (namespace) (rate(textnlp_http_responses_total{status!~"4.."}[5m]))
      - alert: TextNLPSlow
        expr: textnlp:requests:rate5m > 0.25
        for: 2m
        labels: {severity: page}
        annotations:
          summary: '{{ $labels.namespace }} has {{ $value | humanize }} {{ printf "%.0f" 1.0 }}'
`

func TestRulesAreTheFilesWordForWord(t *testing.T) {
	directory := chartWith(t, map[string]string{"files/rules/slo.yaml": rules})
	all := template(t, directory, `prometheusRule: {enabled: true, labels: {release: prometheus}}`, "--skip-tests")
	all.check(t)
	var want map[string]any
	if err := yaml.Unmarshal([]byte(rules), &want); err != nil {
		t.Fatal(err)
	}
	if got := all["PrometheusRule/textnlp-operator-slo"]["spec"]; !reflect.DeepEqual(got, any(want)) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	all = template(t, directory, `prometheusRule: {enabled: true, alertLabels: {team: data}}`, "--skip-tests")
	group := as[monitoringv1.PrometheusRule](t, all, "PrometheusRule/textnlp-operator-slo").Spec.Groups[0]
	if group.Rules[0].Labels != nil || !maps.Equal(group.Rules[1].Labels, map[string]string{"severity": "page", "team": "data"}) {
		t.Errorf("%v", group.Rules)
	}
}

func TestAFileWithoutRulesIsRefusedByItsName(t *testing.T) {
	for text, want := range map[string]string{"rules: []\n": "is no file of Prometheus' rules", "groups: [\n": "slo.yaml has no groups: error"} {
		directory := chartWith(t, map[string]string{"files/rules/slo.yaml": text})
		said, err := helm(t, `prometheusRule: {enabled: true}`, "template", "textnlp-operator", directory)
		if err == nil || !strings.Contains(said, want) {
			t.Errorf("%q: %v: %s", text, err, said)
		}
	}
}

func TestDashboardsAreTheFilesByteForByte(t *testing.T) {
	text := "{\n  \"title\": \"Jobs {{ namespace }}\",\n  \"panels\": [{\"legendFormat\": \"{{pod}} ünïcode\"}],\n\t\"x\": \"a\\n# b\"\n}\n"
	directory := chartWith(t, map[string]string{"files/dashboards/jobs.json": text})
	values := `{dashboards: {enabled: true, namespace: monitoring, annotations: {grafana_folder: TextNLP}}}`
	all := template(t, directory, values, "--skip-tests")
	all.check(t)
	got := as[corev1.ConfigMap](t, all, "ConfigMap/textnlp-operator-dashboard-jobs")
	if !maps.Equal(got.Data, map[string]string{"jobs.json": text}) {
		t.Errorf("%q", got.Data)
	}
	if got.Namespace != "monitoring" || got.Labels["grafana_dashboard"] != "1" || got.Annotations["grafana_folder"] != "TextNLP" {
		t.Errorf("%v", got.ObjectMeta)
	}
}

func TestEveryRuleAndDashboardOfTheChartIsThere(t *testing.T) {
	all := render(t, variants["observed"])
	want := []string{"PrometheusRule/textnlp-operator-additional"}
	for kind, pattern := range map[string]string{"PrometheusRule/textnlp-operator-": "rules/*.yaml", "ConfigMap/textnlp-operator-dashboard-": "dashboards/*.json"} {
		paths, err := filepath.Glob(filepath.Join(chart, "files", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name := filepath.Base(path)
			want = append(want, kind+strings.TrimSuffix(name, filepath.Ext(name)))
			if strings.HasSuffix(name, ".json") {
				text := as[corev1.ConfigMap](t, all, want[len(want)-1]).Data[name]
				if !json.Valid([]byte(text)) || len(text) > 900_000 {
					t.Errorf("%s: no JSON, or too large for a ConfigMap: %d bytes", path, len(text))
				}
			}
		}
	}
	var got []string
	for key := range all {
		if strings.HasPrefix(key, "PrometheusRule/") || strings.HasPrefix(key, "ConfigMap/") {
			got = append(got, key)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTheOperatorReadsWhereTracesGo(t *testing.T) {
	known := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
		"OTEL_TRACES_SAMPLER_ARG": "0.1", "TEXTNLP_TRACE_ROWS": "1000", "TEXTNLP_TRACE_HEADERS_SECRET": "traces/headers",
		"OTEL_EXPORTER_OTLP_HEADERS": "", // of the Secret
	}
	without := map[string]bool{}
	env := func(values string) []corev1.EnvVar {
		return as[appsv1.Deployment](t, render(t, values), operator).Spec.Template.Spec.Containers[0].Env
	}
	for _, variable := range env(`{}`) {
		without[variable.Name] = true
	}
	got := map[string]string{}
	for _, variable := range env(variants["traces"]) {
		if !without[variable.Name] {
			got[variable.Name] = variable.Value
		}
	}
	if !maps.Equal(got, known) {
		t.Errorf("got  %v\nwant %v", got, known)
	}
	text := readFile(t, "operator/src/traces.rs")
	for name := range got {
		if !strings.Contains(text, `"`+name+`"`) {
			t.Errorf("operator/src/traces.rs does not read %s", name)
		}
	}
}

func TestTracesOfNoUseAreRefused(t *testing.T) {
	for _, values := range []string{
		`tracing: {endpoint: "grpc://collector:4317"}`, `tracing: {endpoint: "http://user:secret@collector:4318"}`, `tracing: {endpoint: "collector:4318"}`,
		`tracing: {endpoint: "http://a", sampler: sometimes}`, `tracing: {endpoint: "http://a", sampler: traceidratio, samplerArg: "2"}`,
		`tracing: {endpoint: "http://a", sampler: traceidratio, samplerArg: 0.1}`, `tracing: {endpoint: "http://a", rows: -1}`,
	} {
		if text, err := helm(t, values, "template", "textnlp-operator", chart); err == nil || !strings.Contains(text, "/tracing/") {
			t.Errorf("%s: %v: %s", values, err, text)
		}
	}
}

func TestTheSamplersOfTheSchemaAreThoseThatTheProgramsKnow(t *testing.T) {
	text := readFile(t, "libs/telemetry/src/trace/settings.rs")
	_, text, _ = strings.Cut(text, "match name.as_str()")
	text, _, _ = strings.Cut(text, "found =>")
	want := []string{""}
	for _, name := range regexp.MustCompile(`"([a-z_]+)" =>`).FindAllStringSubmatch(text, -1) {
		want = append(want, name[1])
	}
	var got []string
	sampler := descend(t, values(t), "properties", "tracing", "properties", "sampler")
	for _, name := range sampler["enum"].([]any) {
		got = append(got, name.(string))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the schema has %q, the programs %q", got, want)
	}
}

// annotation is one of Chart.yaml's for Artifact Hub.
func annotation(t *testing.T, name string) string {
	t.Helper()
	return fmt.Sprint(metadata(t)["annotations"].(map[string]any)["artifacthub.io/"+name])
}

// metadata is Chart.yaml.
func metadata(t *testing.T) map[string]any {
	t.Helper()
	var found map[string]any
	if err := yaml.Unmarshal([]byte(readFile(t, "charts/textnlp-operator/Chart.yaml")), &found); err != nil {
		t.Fatal(err)
	}
	return found
}
