package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What Helm, Flux and kpt must see, for each of the objects that the health scripts of Argo CD are tested with.
var want = map[string]map[string]string{
	"GenerationJob": {
		"fresh":                  "InProgress",
		"changed":                "InProgress",
		"preparing":              "InProgress",
		"waiting-for-model":      "InProgress",
		"queued":                 "InProgress",
		"running":                "InProgress",
		"unmended":               "InProgress",
		"finalizing":             "InProgress",
		"suspended":              "Current",
		"succeeded":              "Current",
		"succeeded-with-warning": "Current",
		"failed":                 "Failed",
		"gate-failed":            "Failed",
		"deleting":               "Terminating",
	},
	"ModelDeployment": {
		"fresh":          "InProgress",
		"changed":        "InProgress",
		"caching":        "InProgress",
		"loading":        "InProgress",
		"unmended":       "InProgress",
		"no-node":        "InProgress",
		"rolling-out":    "InProgress",
		"degraded":       "InProgress",
		"ready":          "Current",
		"scaled-to-zero": "Current",
		"stalled":        "Failed",
		"deleting":       "Terminating",
	},
}

const objects = "../../deploy/argocd/textnlp.dev"

func TestEachObjectHasTheStatusThatThePageSays(t *testing.T) {
	for kind, cases := range want {
		for name, status := range cases {
			t.Run(kind+"/"+name, func(t *testing.T) {
				if got := compute(t, object(t, kind, name)); len(got) != 1 || got[0][1] != status {
					t.Errorf("got %q, want %s", got, status)
				}
			})
		}
	}
}

func TestEachTestObjectHasAnExpectation(t *testing.T) {
	for kind, cases := range want {
		found, err := filepath.Glob(filepath.Join(objects, kind, "testdata", "*.yaml"))
		if err != nil || len(found) != len(cases) {
			t.Errorf("%s: %d objects, %d expectations (%v)", kind, len(found), len(cases), err)
		}
	}
}

func TestNoObjectIsReconcilingAndStalled(t *testing.T) {
	for kind, cases := range want {
		for name := range cases {
			read, err := read(strings.NewReader(object(t, kind, name)))
			if err != nil {
				t.Fatal(err)
			}
			status, _ := read[0].Object["status"].(map[string]any)
			conditions, _ := status["conditions"].([]any)
			both := 0
			for _, condition := range conditions {
				condition := condition.(map[string]any)
				if kind := condition["type"]; condition["status"] == "True" && (kind == "Reconciling" || kind == "Stalled") {
					both++
				}
			}
			if both > 1 {
				t.Errorf("%s/%s: Reconciling and Stalled are both True", kind, name)
			}
		}
	}
}

func TestTheMessageSaysWhy(t *testing.T) {
	got := compute(t, object(t, "ModelDeployment", "no-node"))
	if want := [3]string{"ModelDeployment/smollm2", "InProgress", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"}; got[0] != want {
		t.Errorf("got  %q\nwant %q", got[0], want)
	}
}

func TestDocumentsAndListsAreReadObjectByObject(t *testing.T) {
	running, ready := object(t, "GenerationJob", "running"), object(t, "ModelDeployment", "ready")
	indent := func(text string) string { return "- " + strings.ReplaceAll(text, "\n", "\n  ") + "\n" }
	list := "apiVersion: v1\nkind: List\nitems:\n" + indent(strings.SplitN(running, "\n", 2)[1]) + indent(strings.SplitN(ready, "\n", 2)[1])
	for name, text := range map[string]string{"documents": running + "---\n" + ready, "list": list} {
		got := compute(t, text)
		if len(got) != 2 || got[0][1] != "InProgress" || got[1][1] != "Current" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestWhatIsNoObjectIsAnError(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "{", "[]", "kind: [GenerationJob]"} {
		var out strings.Builder
		if err := run(strings.NewReader(text), &out); err == nil {
			t.Errorf("%q: %q", text, out.String())
		}
	}
}

func object(t *testing.T, kind, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(objects, kind, "testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func compute(t *testing.T, text string) [][3]string {
	t.Helper()
	var out strings.Builder
	if err := run(strings.NewReader(text), &out); err != nil {
		t.Fatal(err)
	}
	var lines [][3]string
	for line := range strings.Lines(out.String()) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(fields) != 3 {
			t.Fatalf("%q has no three fields", line)
		}
		lines = append(lines, [3]string(fields))
	}
	return lines
}
