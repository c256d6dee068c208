package prometheus

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestPromtoolFindsNoFaultWithTheRules(t *testing.T) {
	promtool(t, append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, glob(t, files+"/rules/*.yaml")...)...)
}

func TestPromtoolFindsNoFaultWithTheScrapeConfiguration(t *testing.T) {
	promtool(t, "check", "config", "--syntax-only", "--lint=all", "--lint-fatal", scrapeFile)
}

func TestTheRulesFireAndStaySilentAsTheirTestsSay(t *testing.T) {
	for _, path := range glob(t, "rules/*.yaml") {
		t.Run(filepath.Base(path), func(t *testing.T) { promtool(t, "test", "rules", path) })
	}
}

// A test that expects nothing but silence, or nothing but alarm, would not see a threshold that is wrong.
func TestEachAlertIsFiredInOneTestAndSilentInAnother(t *testing.T) {
	fired, silent := map[string]bool{}, map[string]bool{}
	for _, path := range glob(t, "rules/*.yaml") {
		var file struct {
			Tests []struct {
				AlertRuleTest []struct {
					Alertname string
					ExpAlerts []struct {
						ExpLabels map[string]string `json:"exp_labels"`
					} `json:"exp_alerts"`
				} `json:"alert_rule_test"`
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, path)), &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, test := range file.Tests {
			for _, alert := range test.AlertRuleTest {
				silent[alert.Alertname] = silent[alert.Alertname] || len(alert.ExpAlerts) == 0
				for _, expected := range alert.ExpAlerts {
					fired[alert.Alertname+" "+expected.ExpLabels["severity"]+" "+expected.ExpLabels["window"]] = true
				}
			}
		}
	}
	for _, rule := range rules(t) {
		if rule.Alert == "" {
			continue
		}
		if name := rule.Alert + " " + rule.Labels["severity"] + " " + rule.Labels["window"]; !fired[name] {
			t.Errorf("no test in tests/prometheus/rules fires %s", name)
		}
		if !silent[rule.Alert] {
			t.Errorf("no test in tests/prometheus/rules keeps %s silent", rule.Alert)
		}
	}
}

func TestEachAlertSaysWhoIsCalledAndWhatToRead(t *testing.T) {
	name := regexp.MustCompile(`^TextNLP[A-Z][A-Za-z]+$`)
	for _, rule := range rules(t) {
		if rule.Alert == "" {
			continue
		}
		if !name.MatchString(rule.Alert) {
			t.Errorf("%s: names begin with TextNLP and are one word", rule.Alert)
		}
		if severity := rule.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s: severity is %q; there are page and ticket", rule.Alert, severity)
		}
		for _, annotation := range []string{"summary", "description", "runbook_url"} {
			if rule.Annotations[annotation] == "" {
				t.Errorf("%s has no %s", rule.Alert, annotation)
			}
		}
		if strings.Contains(rule.Annotations["summary"], "\n") || len(rule.Annotations["summary"]) > 200 {
			t.Errorf("%s: the summary is one line, and short", rule.Alert)
		}
		// The chart and users put the address of their own copy in the place of docs/runbooks.
		if want := "docs/runbooks/" + rule.Alert + ".md"; rule.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q, not %q", rule.Alert, rule.Annotations["runbook_url"], want)
		}
	}
}
