package prometheus

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEachAlertHasARunbookAndEachRunbookAnAlert(t *testing.T) {
	alerts := alertNames(t)
	index := read(t, runbooks+"/README.md")
	pages := map[string]bool{}
	for _, path := range glob(t, runbooks+"/*.md") {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		if name == "README" {
			continue
		}
		pages[name] = true
		if !alerts[name] {
			t.Errorf("%s.md has no alert of its name", name)
		}
		if !strings.Contains(index, "["+name+"]("+name+".md)") {
			t.Errorf("README.md does not lead to %s.md", name)
		}
	}
	for name := range alerts {
		if !pages[name] {
			t.Errorf("docs/runbooks/%s.md is missing", name)
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([A-Za-z]+)\.md\)`).FindAllStringSubmatch(index, -1) {
		if !pages[link[1]] {
			t.Errorf("README.md leads to %s.md, which is not there", link[1])
		}
	}
}

// Whoever is woken at night finds the same four answers at the same places.
func TestEachRunbookHasTheSameParts(t *testing.T) {
	heading := regexp.MustCompile(`(?m)^## (.+)$`)
	for name := range alertNames(t) {
		text := read(t, runbooks+"/"+name+".md")
		if !strings.HasPrefix(text, "# "+name+"\n") {
			t.Errorf("%s.md does not begin with its name", name)
		}
		var parts []string
		for _, found := range heading.FindAllStringSubmatch(text, -1) {
			parts = append(parts, found[1])
		}
		if want := []string{"Meaning", "Impact", "Diagnosis", "Mitigation"}; !slices.Equal(parts, want) {
			t.Errorf("%s.md has the parts %q, not %q", name, parts, want)
		}
		diagnosis := text[strings.Index(text, "## Diagnosis"):]
		if !strings.Contains(diagnosis, "\n    kubectl ") && !strings.Contains(diagnosis, "```promql\n") {
			t.Errorf("%s.md: the diagnosis has neither a command nor a query", name)
		}
	}
}

func TestPrometheusUnderstandsTheQueriesOfTheDocumentation(t *testing.T) {
	known, recorded := knownMetrics(t), recordedNames(t)
	block := regexp.MustCompile("(?s)```promql\n(.+?)```")
	for _, path := range append(glob(t, runbooks+"/*.md"), glob(t, root+"/docs/*.md")...) {
		for _, found := range block.FindAllStringSubmatch(read(t, path), -1) {
			for _, query := range strings.Split(strings.TrimSpace(found[1]), "\n\n") {
				checkNames(t, filepath.Base(path), query, known, recorded)
			}
		}
	}
}
