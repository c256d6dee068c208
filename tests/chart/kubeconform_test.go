package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Beside the types that check() decodes into: patterns, enumerations and required fields, kinds that have no type here, and keys that are
// there twice, which Helm lets pass and Flux does not. With what `helm test` makes.
func TestKubeconformAcceptsEveryVariant(t *testing.T) {
	directory := t.TempDir()
	var files []string
	for name, values := range variants {
		file := filepath.Join(directory, name+".yaml")
		if err := os.WriteFile(file, []byte(templateText(t, chart, values)), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if text, err := exec.Command(filepath.Join(root, "scripts/kubeconform.sh"), files...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}
