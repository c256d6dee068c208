package chart

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// Beside the types that check() decodes into: patterns, enumerations and required fields, and the kinds that have no type here.
func TestKubeconformAcceptsEveryVariant(t *testing.T) {
	directory := t.TempDir()
	var files []string
	for name, values := range variants {
		var text bytes.Buffer
		for _, object := range render(t, values) {
			document, err := yaml.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&text, "---\n%s", document)
		}
		file := filepath.Join(directory, name+".yaml")
		if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if text, err := exec.Command(filepath.Join(root, "scripts/kubeconform.sh"), files...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}
