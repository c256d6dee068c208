package prometheus

import (
	"regexp"
	"strings"
	"testing"
)

func TestDashboardsNameNoDataSourceOfTheirOwn(t *testing.T) {
	for _, board := range dashboards(t) {
		if board.SchemaVersion < 41 || !strings.HasPrefix(board.UID, "textnlp-") || len(board.Tags) == 0 {
			t.Errorf("%s: schema %d, uid %q, tags %q", board.path, board.SchemaVersion, board.UID, board.Tags)
		}
		for _, variable := range board.Templating.List {
			if variable.Type == "query" && (variable.Datasource == nil || variable.Datasource.UID != "${datasource}") {
				t.Errorf("%s: the variable %s asks another data source than ${datasource}", board.path, variable.Name)
			}
		}
		for _, panel := range board.Panels {
			if panel.Type == "row" {
				continue
			}
			if panel.Datasource == nil || panel.Datasource.UID != "${datasource}" {
				t.Errorf("%s, %s: not from ${datasource}", board.path, panel.Title)
			}
			for _, target := range panel.Targets {
				if target.Datasource == nil || target.Datasource.UID != "${datasource}" {
					t.Errorf("%s, %s, query %s: not from ${datasource}", board.path, panel.Title, target.RefID)
				}
			}
		}
	}
}

func TestEachPanelSaysWhatItShows(t *testing.T) {
	for _, board := range dashboards(t) {
		titles, ids := map[string]bool{}, map[int]bool{}
		for _, panel := range board.Panels {
			if ids[panel.ID] || panel.ID == 0 {
				t.Errorf("%s: the id %d of %q is not its own", board.path, panel.ID, panel.Title)
			}
			ids[panel.ID] = true
			if panel.Type == "row" {
				continue
			}
			if titles[panel.Title] {
				t.Errorf("%s has two panels %q", board.path, panel.Title)
			}
			titles[panel.Title] = true
			if len(panel.Description) < 20 || panel.FieldConfig.Defaults.Unit == "" || len(panel.Targets) == 0 {
				t.Errorf("%s, %s: description %q, unit %q, %d queries", board.path, panel.Title, panel.Description,
					panel.FieldConfig.Defaults.Unit, len(panel.Targets))
			}
		}
	}
}

func TestPanelsLieBesideEachOther(t *testing.T) {
	for _, board := range dashboards(t) {
		taken := map[[2]int]string{}
		for _, panel := range board.Panels {
			place := panel.GridPos
			if place.X < 0 || place.X+place.W > 24 || place.W < 1 || place.H < 1 {
				t.Errorf("%s, %s: %+v is outside of the grid", board.path, panel.Title, place)
			}
			for x := place.X; x < place.X+place.W; x++ {
				for y := place.Y; y < place.Y+place.H; y++ {
					if other, ok := taken[[2]int{x, y}]; ok {
						t.Fatalf("%s: %s and %s overlap", board.path, panel.Title, other)
					}
					taken[[2]int{x, y}] = panel.Title
				}
			}
		}
	}
}

func TestQueriesUseTheVariablesThatThereAre(t *testing.T) {
	name := regexp.MustCompile(`\$\{?([a-z_]+)\}?`)
	builtIn := map[string]bool{"__rate_interval": true, "__range": true, "__interval": true}
	for _, board := range dashboards(t) {
		declared, used := map[string]bool{}, map[string]bool{"datasource": true}
		for _, variable := range board.Templating.List {
			declared[variable.Name] = true
		}
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				// A label's value that label_replace takes from its expression is no variable.
				for _, found := range name.FindAllStringSubmatch(target.Expr, -1) {
					used[found[1]] = true
				}
				if rest := substitute(target.Expr); strings.Contains(strings.ReplaceAll(rest, "$1", ""), "$") {
					t.Errorf("%s, %s: a variable is left in %s", board.path, panel.Title, rest)
				}
			}
			for _, link := range panel.Links {
				for _, found := range name.FindAllStringSubmatch(link.URL, -1) {
					used[found[1]] = true
				}
			}
		}
		for variable := range used {
			if !declared[variable] && !builtIn[variable] {
				t.Errorf("%s uses $%s and does not declare it", board.path, variable)
			}
		}
		for variable := range declared {
			if !used[variable] {
				t.Errorf("%s declares $%s and does not use it", board.path, variable)
			}
		}
	}
}

func TestEachAlertIsLinkedFromAPanel(t *testing.T) {
	alerts, linked := alertNames(t), map[string]bool{}
	for _, board := range dashboards(t) {
		for _, panel := range board.Panels {
			for _, link := range panel.Links {
				alert := strings.TrimSuffix(strings.TrimPrefix(link.URL, "${runbooks}/"), ".md")
				if !alerts[alert] || link.Title != "Runbook: "+alert {
					t.Errorf("%s, %s: no alert is named as in %s (%s)", board.path, panel.Title, link.URL, link.Title)
				}
				linked[alert] = true
			}
		}
	}
	for alert := range alerts {
		if !linked[alert] {
			t.Errorf("no panel shows what %s is about", alert)
		}
	}
}
