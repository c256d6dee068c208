// Reads plain YAML scalars with kubectl's own library (sigs.k8s.io/yaml, pinned in ../go.mod).
//
//	cd crds/tests/api_server/oracle && go run ./scalars < ../scalars.txt > ../scalars.jsonl
package main

import (
	"bufio"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		json, err := yaml.YAMLToJSON([]byte("a: " + lines.Text() + "\n"))
		if err != nil {
			json = []byte(`{"error": true}`)
		}
		fmt.Println(string(json))
	}
}
