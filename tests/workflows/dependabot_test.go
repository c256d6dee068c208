package workflows

import (
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Which of the repository's files each ecosystem reads.
var ecosystems = map[string]*regexp.Regexp{
	"cargo":          regexp.MustCompile(`(^|/)Cargo\.lock$`),
	"gomod":          regexp.MustCompile(`(^|/)go\.mod$`),
	"github-actions": regexp.MustCompile(`^\.github/workflows/.*\.yaml$`),
	"docker":         regexp.MustCompile(`(^|/)Dockerfile$`),
	"docker-compose": regexp.MustCompile(`(^|/)compose\.yaml$`),
	"npm":            regexp.MustCompile(`(^|/)package\.json$`),
	"terraform":      regexp.MustCompile(`\.tf$`),
}

func TestDependabotLooksAtEveryDirectoryThatHasDependenciesAndAtNoOther(t *testing.T) {
	var told struct {
		Updates []struct {
			Ecosystem   string   `json:"package-ecosystem"`
			Directory   string   `json:"directory"`
			Directories []string `json:"directories"`
			Schedule    struct{ Interval string }
		}
	}
	if err := yaml.Unmarshal(read(t, root+"/.github/dependabot.yml"), &told); err != nil {
		t.Fatal(err)
	}
	watched := map[string][]string{}
	for _, update := range told.Updates {
		if ecosystems[update.Ecosystem] == nil || update.Schedule.Interval != "weekly" {
			t.Errorf("%+v", update)
		}
		directories := update.Directories
		if update.Directory != "" {
			directories = append(directories, update.Directory)
		}
		watched[update.Ecosystem] = append(watched[update.Ecosystem], directories...)
	}
	committed, err := exec.Command("git", "-C", root, "ls-files").Output()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, file := range strings.Fields(string(committed)) {
		for ecosystem, pattern := range ecosystems {
			if !pattern.MatchString(file) {
				continue
			}
			directory := "/" + path.Dir(file)
			if directory == "/." || ecosystem == "github-actions" {
				directory = "/"
			}
			covered := false
			for _, pattern := range watched[ecosystem] {
				if covers(pattern, directory) {
					used[ecosystem+pattern] = true
					covered = true
				}
			}
			if !covered {
				t.Errorf("%s: dependabot.yml has no %s entry for %s, only for %v", file, ecosystem, directory, watched[ecosystem])
			}
		}
	}
	for ecosystem, patterns := range watched {
		for _, pattern := range patterns {
			if !used[ecosystem+pattern] {
				t.Errorf("dependabot.yml: nothing of %s is in %s", ecosystem, pattern)
			}
		}
	}
}

// covers tells whether a directory is meant by an entry: `**` is anything below, `*` one name.
func covers(pattern, directory string) bool {
	if above, below := strings.CutSuffix(pattern, "/**"); below {
		return strings.HasPrefix(directory, above+"/")
	}
	matched, err := path.Match(pattern, directory)
	return err == nil && matched
}
