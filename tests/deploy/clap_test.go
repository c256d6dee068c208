package deploy

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// verbs are the long flags of each verb of `textnlp`, read from the definitions of its command line.
func verbs(t *testing.T) map[string][]string {
	t.Helper()
	modules := definitions{}
	for _, pattern := range []string{"cli/src/args.rs", "cli/src/args/*.rs"} {
		files, err := filepath.Glob(inRoot(pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			modules[strings.TrimSuffix(filepath.Base(file), ".rs")] = string(contents(t, file))
		}
	}
	found := map[string][]string{}
	_, variants, _ := strings.Cut(modules["args"], "pub(crate) enum Command {\n")
	variants, _, _ = strings.Cut(variants, "\n}\n")
	for _, variant := range regexp.MustCompile(`(?m)^    (\w+)\((?:Box<)?([\w:]+)>?\),$`).FindAllStringSubmatch(variants, -1) {
		found[kebab(variant[1])] = modules.flags("args", variant[2])
	}
	return found
}

// definitions are the texts of Rust modules.
type definitions map[string]string

// flags are those of a struct of arguments that a module names, and of the structs that are flattened into it.
func (d definitions) flags(module, structure string) []string {
	module, name := d.resolve(module, structure)
	_, body, _ := strings.Cut(d[module], "struct "+name+" {\n")
	body, _, _ = strings.Cut(body, "\n}\n")
	found := map[string]bool{}
	fields := regexp.MustCompile(`(?s)#\[(arg|command)\((.*?)\)\]\s*(?:pub\(crate\) )?(\w+): ([\w:<>(), ]+),\n`)
	for _, field := range fields.FindAllStringSubmatch(body+"\n", -1) {
		switch attribute := field[2]; {
		case field[1] == "command" && attribute == "flatten":
			for _, flag := range d.flags(module, field[4]) {
				found[flag] = true
			}
		case regexp.MustCompile(`\blong = "`).MatchString(attribute):
			found[regexp.MustCompile(`\blong = "([^"]+)"`).FindStringSubmatch(attribute)[1]] = true
		case regexp.MustCompile(`\blong\b`).MatchString(attribute):
			found[strings.ReplaceAll(field[3], "_", "-")] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// resolve says in which module a type is defined, and what it is called there.
func (d definitions) resolve(module, structure string) (string, string) {
	if path := strings.Split(structure, "::"); len(path) > 1 {
		return path[len(path)-2], path[len(path)-1]
	}
	if strings.Contains(d[module], "struct "+structure+" {") {
		return module, structure
	}
	imported := regexp.MustCompile(`use super::(\w+)::[^;]*\b` + structure + `\b`).FindStringSubmatch(d[module])
	if imported != nil {
		return imported[1], structure
	}
	return "args", structure
}

func kebab(name string) string {
	return strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "$1-$2"))
}

func TestTheDefinitionsOfTheCommandLineAreRead(t *testing.T) {
	known := verbs(t)
	for verb, want := range map[string][]string{
		"key":    {"name"},
		"format": {"escape-formulas", "output", "to"},
		"fetch":  {"dtype", "kv-cache", "log-format", "mounts", "offline", "quantization", "source", "termination-file"},
	} {
		if !slices.Equal(known[verb], want) {
			t.Errorf("%s: got %q, want %q", verb, known[verb], want)
		}
	}
	// Of all kinds: plain, flattened, renamed, with an attribute of several lines.
	for _, flag := range []string{"model", "threads", "allow-origin", "oidc-algorithms", "tls-key", "keys"} {
		if !slices.Contains(known["serve"], flag) {
			t.Errorf("serve has no --%s: %q", flag, known["serve"])
		}
	}
}
