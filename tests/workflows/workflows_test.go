// Package workflows tests .github: what runs on somebody else's machines, with rights, and cannot be tried here.
package workflows

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
	"sigs.k8s.io/yaml"
)

const root = "../.."

// workflow is what the tests look at.
type workflow struct {
	Permissions any `json:"permissions"`
	Concurrency any `json:"concurrency"`
	Defaults    struct {
		Run struct {
			Shell string `json:"shell"`
		} `json:"run"`
	} `json:"defaults"`
	Jobs map[string]struct {
		Permissions    any    `json:"permissions"`
		TimeoutMinutes int    `json:"timeout-minutes"`
		Environment    any    `json:"environment"`
		Steps          []step `json:"steps"`
		Strategy       struct {
			Matrix map[string]any `json:"matrix"`
		} `json:"strategy"`
	} `json:"jobs"`
}

type step struct {
	Uses  string         `json:"uses"`
	Run   string         `json:"run"`
	Shell string         `json:"shell"`
	With  map[string]any `json:"with"`
}

func all(t *testing.T) map[string]workflow {
	t.Helper()
	paths, err := filepath.Glob(root + "/.github/workflows/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	found := map[string]workflow{}
	for _, path := range paths {
		var one workflow
		if err := yaml.Unmarshal(read(t, path), &one); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		found[path] = one
	}
	return found
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func lint(t *testing.T, path string, text []byte) []*actionlint.Error {
	t.Helper()
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	problems, err := linter.Lint(path, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return problems
}

func TestActionlintFindsNothingInTheWorkflows(t *testing.T) {
	for path := range all(t) {
		for _, problem := range lint(t, path, read(t, path)) {
			t.Error(problem)
		}
	}
}

func TestActionlintFindsWhatAStrangerCouldPutIntoAScript(t *testing.T) {
	text := read(t, root+"/.github/workflows/ci.yaml")
	bad := bytes.Replace(text, []byte("run: .ci/run"), []byte(`run: echo "${{ github.event.pull_request.title }}" && .ci/run`), 1)
	if bytes.Equal(bad, text) || len(lint(t, "ci.yaml", bad)) == 0 {
		t.Error("it passes")
	}
}

// A tag can be moved to other code; a commit cannot. Dependabot brings newer ones.
func TestEveryActionIsPinnedByItsCommitAndSaysItsVersion(t *testing.T) {
	line := regexp.MustCompile(`(?m)^\s*(?:- )?uses:\s*(.*)$`)
	pinned := regexp.MustCompile(`^[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	versions := map[string]string{}
	for path := range all(t) {
		for _, match := range line.FindAllStringSubmatch(string(read(t, path)), -1) {
			if !pinned.MatchString(match[1]) {
				t.Errorf("%s: %q is not ACTION@COMMIT # vVERSION", path, match[1])
				continue
			}
			action, version, _ := strings.Cut(match[1], "@")
			if other, known := versions[action]; known && other != version {
				t.Errorf("%s is used as %s and as %s", action, other, version)
			}
			versions[action] = version
		}
	}
}

// `bash -e` is what runs without a name, and `publish | tee` would succeed where `publish` did not; the name brings `-o pipefail`.
func TestAScriptEndsWhereAnyPartOfItFails(t *testing.T) {
	for path, workflow := range all(t) {
		if shell := workflow.Defaults.Run.Shell; shell != "bash" {
			t.Errorf("%s: scripts run in %q, not in bash by name", path, shell)
		}
		for name, job := range workflow.Jobs {
			for _, step := range job.Steps {
				if step.Shell != "" {
					t.Errorf("%s: a step of %s runs in %s", path, name, step.Shell)
				}
			}
		}
	}
}

func TestRightsAreGivenToSingleJobsAndEveryJobEnds(t *testing.T) {
	writes := map[string][]string{
		"release.yaml/publish": {"attestations", "contents", "id-token", "packages"},
		"docs.yaml/publish":    {"id-token", "pages"},
	}
	for path, workflow := range all(t) {
		if given, none := workflow.Permissions.(map[string]any); !none || len(given) != 0 {
			t.Errorf("%s gives %v to all of its jobs: {} is wanted", path, workflow.Permissions)
		}
		if workflow.Concurrency == nil {
			t.Errorf("%s has no concurrency group", path)
		}
		for name, job := range workflow.Jobs {
			if job.TimeoutMinutes == 0 {
				t.Errorf("%s: %s has no timeout", path, name)
			}
			var found []string
			given, _ := job.Permissions.(map[string]any)
			for scope, level := range given {
				if level != "read" {
					found = append(found, scope)
				}
			}
			slices.Sort(found)
			if want := writes[filepath.Base(path)+"/"+name]; !slices.Equal(found, want) {
				t.Errorf("%s: %s may write %v, and %v is known", path, name, found, want)
			}
			if found != nil && job.Environment == nil {
				t.Errorf("%s: %s may write %v without an environment that people guard", path, name, found)
			}
			for _, step := range job.Steps {
				if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != false {
					t.Errorf("%s: %s leaves the token in the checkout", path, name)
				}
			}
		}
	}
}

func TestEveryTargetAndProgramOfTheRepositoryThatAWorkflowRunsIsThere(t *testing.T) {
	target := regexp.MustCompile(`\bmake ((?:[A-Z_]+=\S+ )*)([a-z-]+)`)
	program := regexp.MustCompile(`(?m)(?:^|[\s"(;|])((?:scripts|images|bundle|tests|\.ci)/[\w./-]+)`)
	makefile := string(read(t, root+"/Makefile"))
	targets, programs := 0, 0
	for path, workflow := range all(t) {
		for name, job := range workflow.Jobs {
			for _, step := range job.Steps {
				for _, match := range target.FindAllStringSubmatch(step.Run, -1) {
					targets++
					if !regexp.MustCompile(`(?m)^` + match[2] + `:`).MatchString(makefile) {
						t.Errorf("%s: %s runs `make %s`, and the Makefile has no such target", path, name, match[2])
					}
				}
				for _, match := range program.FindAllStringSubmatch(step.Run, -1) {
					programs++
					info, err := os.Stat(filepath.Join(root, match[1]))
					if err != nil || info.Mode()&0o111 == 0 {
						t.Errorf("%s: %s runs %s, which is no program: %v", path, name, match[1], err)
					}
				}
			}
		}
	}
	if targets < 3 || programs < 5 {
		t.Errorf("only %d targets and %d programs were found: this test looks for the wrong words", targets, programs)
	}
}

func TestEveryFuzzTargetIsFuzzedOnSchedule(t *testing.T) {
	paths, err := filepath.Glob(root + "/fuzz/fuzz_targets/*.rs")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, path := range paths {
		want = append(want, strings.TrimSuffix(filepath.Base(path), ".rs"))
	}
	for _, target := range all(t)[root+"/.github/workflows/security.yaml"].Jobs["fuzz"].Strategy.Matrix["target"].([]any) {
		got = append(got, target.(string))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
