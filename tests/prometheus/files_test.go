// Package prometheus tests what is written for Prometheus and Grafana: the chart's rules and dashboards, the runbooks, the scrape
// configuration and the reference of metrics, with the real promtool: $PROMTOOL, or the one that tests/cluster/tool builds.
package prometheus

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

const (
	root       = "../.."
	files      = root + "/charts/textnlp-operator/files"
	runbooks   = root + "/docs/runbooks"
	reference  = root + "/docs/observability.md"
	scrapeFile = root + "/deploy/prometheus/prometheus.yaml"
)

var promtoolPath = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("PROMTOOL"); path != "" {
		return path, nil
	}
	tool := exec.Command(filepath.Join(root, "tests/cluster/tool"), "promtool")
	tool.Stderr = os.Stderr
	path, err := tool.Output()
	return strings.TrimSpace(string(path)), err
})

// promtool runs promtool, and fails the test with what it printed if it fails.
func promtool(t *testing.T, arguments ...string) {
	t.Helper()
	program, err := promtoolPath()
	if err != nil {
		t.Fatalf("no promtool: %v", err)
	}
	if out, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

// glob gives the files that match a pattern; there must be some.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no file matches %s (%v)", pattern, err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rule is an alert, or a recording.
type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	var all []rule
	for _, path := range glob(t, files+"/rules/*.yaml") {
		var file struct{ Groups []struct{ Rules []rule } }
		if err := yaml.Unmarshal([]byte(read(t, path)), &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, group := range file.Groups {
			all = append(all, group.Rules...)
		}
	}
	return all
}

// alertNames gives the names of all alerts; several alerts may have one name.
func alertNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, rule := range rules(t) {
		if rule.Alert != "" {
			names[rule.Alert] = true
		}
	}
	return names
}

type dashboard struct {
	path       string
	UID, Title string
	Tags       []string
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
			Datasource *struct{ UID string }
		}
	}
	SchemaVersion int
	Panels        []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               *struct{ Type, UID string }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Links                    []struct{ Title, URL string }
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                *struct{ Type, UID string }
	}
}

func dashboards(t *testing.T) []dashboard {
	t.Helper()
	var all []dashboard
	for _, path := range glob(t, files+"/dashboards/*.json") {
		found := dashboard{path: filepath.Base(path)}
		if err := json.Unmarshal([]byte(read(t, path)), &found); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, found)
	}
	return all
}

// substitute puts values in the place of Grafana's variables, as Grafana does before it asks.
func substitute(query string) string {
	return strings.NewReplacer(
		"$__rate_interval", "5m", "$__range", "6h", "$__interval", "1m",
		"$namespace", ".*", "$model", ".*", "$job", ".*",
	).Replace(query)
}

func parse(t *testing.T, query string) parser.Expr {
	t.Helper()
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Errorf("%v in:\n%s", err, query)
		return nil
	}
	return expression
}

// query is an expression and where it stands.
type query struct{ where, expr string }

// queries gives all expressions of rules and dashboards.
func queries(t *testing.T) []query {
	t.Helper()
	var all []query
	for _, rule := range rules(t) {
		all = append(all, query{"rule " + rule.Record + rule.Alert, rule.Expr})
	}
	for _, board := range dashboards(t) {
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				all = append(all, query{board.path + ", panel " + panel.Title, substitute(target.Expr)})
			}
		}
	}
	return all
}
