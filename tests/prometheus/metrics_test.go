package prometheus

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// metric is a row of the tables in docs/observability.md: `name` | type | `labels` | meaning.
type metric struct {
	kind   string
	labels []string
}

var metricRow = regexp.MustCompile("(?m)^\\| `([a-z0-9_:]+)` \\| (counter|gauge|histogram) \\| (?:`([a-z_, ]+)`)? *\\| .+ \\|$")

// What the scrape adds to the series of a section, from the pod's annotation textnlp.dev/owner-name.
var ownerLabels = map[string][]string{"Servers": {"modeldeployment"}, "Workers": {"generationjob"}}

// knownMetrics gives what the reference says, by name. A name that two programs use has the labels of both.
func knownMetrics(t *testing.T) map[string]metric {
	t.Helper()
	known := map[string]metric{}
	for _, section := range strings.Split(read(t, reference), "\n### ") {
		heading, _, _ := strings.Cut(section, "\n")
		for _, row := range metricRow.FindAllStringSubmatch(section, -1) {
			entry := known[row[1]]
			entry.kind = row[2]
			if row[3] != "" {
				entry.labels = append(entry.labels, strings.Split(row[3], ", ")...)
			}
			entry.labels = append(entry.labels, ownerLabels[heading]...)
			known[row[1]] = entry
		}
	}
	if len(known) < 40 {
		t.Fatalf("only %d metrics are found in %s: have its tables another form?", len(known), reference)
	}
	return known
}

func recordedNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, rule := range rules(t) {
		if rule.Record != "" {
			names[rule.Record] = true
		}
	}
	return names
}

// Labels that come from the scrape, whatever the metric; `le` and `__name__` are Prometheus' own.
var scrapeLabels = []string{"namespace", "pod", "job", "instance", "le", "__name__"}

// checkNames parses a query, and fails the test for metrics and labels that nothing exports.
func checkNames(t *testing.T, where, text string, known map[string]metric, recorded map[string]bool) {
	t.Helper()
	expression := parse(t, text)
	if expression == nil {
		t.Errorf("(that was %s)", where)
		return
	}
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.VectorSelector:
			checkSelector(t, where, node, known, recorded)
		case *parser.AggregateExpr:
			checkGrouping(t, where, node, known)
		}
		return nil
	})
}

func checkSelector(t *testing.T, where string, selector *parser.VectorSelector, known map[string]metric, recorded map[string]bool) {
	t.Helper()
	if recorded[selector.Name] || selector.Name == "ALERTS" || selector.Name == "up" {
		return
	}
	found, ok := lookUp(selector.Name, known)
	if !ok {
		t.Errorf("%s asks for %q, which docs/observability.md does not know", where, selector.Name)
		return
	}
	for _, matcher := range selector.LabelMatchers {
		if matcher.Name != labels.MetricName && !slices.Contains(append(found.labels, scrapeLabels...), matcher.Name) {
			t.Errorf("%s: %s has no label %q", where, selector.Name, matcher.Name)
		}
	}
}

func lookUp(name string, known map[string]metric) (metric, bool) {
	if found, ok := known[name]; ok {
		return found, found.kind != "histogram"
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if found, ok := known[strings.TrimSuffix(name, suffix)]; ok && found.kind == "histogram" && strings.HasSuffix(name, suffix) {
			return found, true
		}
	}
	return metric{}, false
}

// checkGrouping fails the test if a sum is over a label that nothing in it has: a typo there gives one series, and no error.
func checkGrouping(t *testing.T, where string, aggregate *parser.AggregateExpr, known map[string]metric) {
	t.Helper()
	has, isKnown := slices.Clone(scrapeLabels), true
	parser.Inspect(aggregate.Expr, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.VectorSelector:
			found, ok := lookUp(node.Name, known)
			isKnown = isKnown && ok // a recorded one, whose labels are those of its own expression
			has = append(has, found.labels...)
		case *parser.Call:
			if node.Func.Name == "label_replace" {
				has = append(has, node.Args[1].(*parser.StringLiteral).Val)
			}
		}
		return nil
	})
	for _, label := range aggregate.Grouping {
		if isKnown && !aggregate.Without && !slices.Contains(has, label) {
			t.Errorf("%s: nothing in %s has the label %q", where, aggregate, label)
		}
	}
}

func TestRulesAndDashboardsAskOnlyForWhatIsExported(t *testing.T) {
	known, recorded := knownMetrics(t), recordedNames(t)
	for _, query := range queries(t) {
		checkNames(t, query.where, query.expr, known, recorded)
	}
}

func TestNoRecordingIsMadeForNothing(t *testing.T) {
	used := map[string]bool{}
	for _, query := range queries(t) {
		if expression := parse(t, query.expr); expression != nil {
			parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
				if selector, ok := node.(*parser.VectorSelector); ok {
					used[selector.Name] = true
				}
				return nil
			})
		}
	}
	for name := range recordedNames(t) {
		if !used[name] {
			t.Errorf("%s is recorded, and neither an alert nor a dashboard reads it", name)
		}
	}
}

// In the sources a metric is a literal in a file that uses prometheus_client. Counters get `_total` from the encoder, and those of
// operator/src/metrics.rs their prefix from the registry.
var (
	literal    = regexp.MustCompile(`"((?:textnlp|vllm)[_:][a-z0-9_]+)"`)
	registered = regexp.MustCompile(`registry\.register\(\s*"([a-z_]+)"`)
	prefixed   = regexp.MustCompile(`with_prefix\("([a-z_]+)"\)`)
)

// exportedNames gives the names in the sources, without `_total`.
func exportedNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, directory := range []string{"operator/src", "inference-server/src", "libs/generation/src"} {
		err := filepath.WalkDir(filepath.Join(root, directory), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".rs") {
				return err
			}
			bytes, err := os.ReadFile(path)
			source, _, _ := strings.Cut(string(bytes), "#[cfg(test)]")
			if !strings.Contains(source, "prometheus_client") {
				return err
			}
			for _, found := range literal.FindAllStringSubmatch(source, -1) {
				if found[1] != "textnlp_operator" { // the prefix
					names[found[1]] = true
				}
			}
			if prefix := prefixed.FindStringSubmatch(source); prefix != nil {
				for _, found := range registered.FindAllStringSubmatch(source, -1) {
					names[prefix[1]+"_"+found[1]] = true
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func TestTheReferenceNamesWhatTheSourcesExport(t *testing.T) {
	known := map[string]bool{}
	for name, found := range knownMetrics(t) {
		if isCounter := found.kind == "counter"; isCounter != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is said to be a %s; counters, and they alone, end in _total", name, found.kind)
		}
		known[strings.TrimSuffix(name, "_total")] = true
	}
	exported := exportedNames(t)
	for _, name := range slices.Sorted(maps.Keys(exported)) {
		if !known[name] {
			t.Errorf("%s is exported, and docs/observability.md has no row for it", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !exported[name] {
			t.Errorf("docs/observability.md has %s, which no source exports", name)
		}
	}
}
