package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"
)

const composeDirectory = "deploy/compose"

// The project and the copy of the repository's directory that it is in, for all tests.
var (
	composed *types.Project
	checkout string
)

func TestMain(m *testing.M) {
	var err error
	if checkout, err = os.MkdirTemp("", "compose-*"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(checkout)
	os.Exit(code)
}

// compose is the project with all its profiles, in a copy of its directory where `setup` has run, resolved as Docker Compose does.
// What lies in the copy alone was made by `setup`.
func compose(t *testing.T) (*types.Project, string) {
	t.Helper()
	if composed != nil {
		return composed, checkout
	}
	directory := filepath.Join(checkout, composeDirectory)
	prepare(t, directory)
	options, err := cli.NewProjectOptions([]string{filepath.Join(directory, "compose.yaml")},
		cli.WithWorkingDirectory(directory), cli.WithEnvFiles(), cli.WithDotEnv, cli.WithProfiles([]string{"*"}), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	if composed, err = options.LoadProject(context.Background()); err != nil {
		t.Fatal(err)
	}
	return composed, checkout
}

// committed hides what `setup` has made in the checkout itself: models of gigabytes, and settings that are no default.
type committed struct{ fs.FS }

func (c committed) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(c.FS, name)
	return slices.DeleteFunc(entries, func(entry fs.DirEntry) bool {
		return name == "." && slices.Contains([]string{".env", "datasets", "models", "secrets"}, entry.Name())
	}), err
}

// prepare copies the directory, and runs its `setup` with a model.
func prepare(t *testing.T, directory string) {
	t.Helper()
	if err := os.CopyFS(directory, committed{os.DirFS(inRoot(composeDirectory))}); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(model, []byte("GGUF"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(filepath.Join(directory, "setup"), model).CombinedOutput(); err != nil {
		t.Fatalf("setup: %v\n%s", err, text)
	}
}

func TestComposeStartsTheServerAndPrometheusAndTheRestWhenAsked(t *testing.T) {
	project, _ := compose(t)
	profiles := map[string]string{}
	for name, service := range project.Services {
		profiles[name] = strings.Join(service.Profiles, ",")
	}
	want := map[string]string{"server": "", "prometheus": "", "job": "job", "grafana": "dashboards", "collector": "tracing", "jaeger": "tracing"}
	if !maps.Equal(profiles, want) {
		t.Errorf("got %v, want %v", profiles, want)
	}
	for name, service := range project.Services {
		if service.Profiles == nil && service.HealthCheck == nil {
			t.Errorf("%s: `up --wait` cannot know when it is ready", name)
		}
	}
}

func TestNoServiceOfComposeHasMoreRightsThanItNeeds(t *testing.T) {
	project, _ := compose(t)
	nonRoot := regexp.MustCompile(`^[1-9][0-9]*:[0-9]+$`)
	pinned := regexp.MustCompile(`:v?[0-9]+\.[0-9]+\.[0-9]+$`)
	for name, service := range project.Services {
		if !nonRoot.MatchString(service.User) {
			t.Errorf("%s runs as %q", name, service.User)
		}
		if !pinned.MatchString(service.Image) {
			t.Errorf("%s: the image %s has no version", name, service.Image)
		}
		if !service.ReadOnly || service.Privileged || !slices.Equal(service.CapDrop, []string{"ALL"}) || len(service.CapAdd) > 0 ||
			!slices.Contains(service.SecurityOpt, "no-new-privileges:true") || service.NetworkMode != "" || service.Pid != "" {
			t.Errorf("%s is not hardened", name)
		}
		if service.Deploy == nil || service.Deploy.Resources.Limits == nil || service.Deploy.Resources.Limits.MemoryBytes <= 0 ||
			service.Deploy.Resources.Limits.Pids <= 0 {
			t.Errorf("%s has no limits", name)
		}
		for _, port := range service.Ports {
			if address := net.ParseIP(port.HostIP); address == nil || !address.IsLoopback() {
				t.Errorf("%s: port %s is open to other machines", name, port.Published)
			}
		}
		for _, volume := range service.Volumes {
			writable := volume.Type == types.VolumeTypeVolume || volume.Target == "/datasets"
			if !volume.ReadOnly && !writable {
				t.Errorf("%s may write %s", name, volume.Target)
			}
			if strings.Contains(volume.Source, "docker.sock") {
				t.Errorf("%s has the engine's socket", name)
			}
		}
	}
	if inside := project.Networks["inside"]; !inside.Internal {
		t.Error("the inner network has a way out")
	}
	for _, name := range []string{"job", "collector"} {
		if networks := slices.Collect(maps.Keys(project.Services[name].Networks)); !slices.Equal(networks, []string{"inside"}) {
			t.Errorf("%s has the networks %v", name, networks)
		}
	}
}

func TestEveryFileThatComposeMountsIsInTheRepositoryOrMadeBySetup(t *testing.T) {
	project, checkout := compose(t)
	exists := func(what, path string) {
		relative, err := filepath.Rel(checkout, path)
		if err != nil || strings.HasPrefix(relative, "..") {
			t.Errorf("%s: %s lies outside the repository", what, path)
			return
		}
		if _, err := os.Stat(path); err == nil {
			return
		}
		if entry, err := os.Stat(inRoot(relative)); err != nil {
			t.Errorf("%s: %v", what, err)
		} else if entries, err := os.ReadDir(inRoot(relative)); entry.IsDir() && (err != nil || len(entries) == 0) {
			t.Errorf("%s: %s is empty", what, relative)
		}
	}
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind {
				exists(name, volume.Source)
			}
		}
		if service.Build != nil {
			exists(name, filepath.Join(service.Build.Context, service.Build.Dockerfile))
			if !strings.Contains(string(read(t, "images/Dockerfile")), " AS "+service.Build.Target+"\n") {
				t.Errorf("%s: images/Dockerfile has no stage %s", name, service.Build.Target)
			}
		}
	}
	for name, secret := range project.Secrets {
		exists("secret "+name, secret.File)
	}
	if tag := release(t)[1:]; !strings.HasSuffix(project.Services["server"].Image, ":"+tag) {
		t.Errorf("the image is %s; the chart's version is %s", project.Services["server"].Image, tag)
	}
}

func TestSetupMakesKeysThatFitTheirFileAndChangesNoneThatIsThere(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "compose")
	prepare(t, directory)
	secrets := filepath.Join(directory, "secrets")
	if mode := stat(t, secrets).Mode().Perm(); mode != 0o700 {
		t.Errorf("the directory of keys has the mode %o", mode)
	}
	var file struct {
		Keys []struct {
			Name, SHA256 string
			Scopes       []string
		}
	}
	if err := yaml.UnmarshalStrict(contents(t, secrets, "keys.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	scopes := map[string]string{}
	for _, entry := range file.Keys {
		key := contents(t, secrets, entry.Name+".key")
		if hash := sha256.Sum256(key); hex.EncodeToString(hash[:]) != entry.SHA256 || len(key) < 64 {
			t.Errorf("the key of %s is not that of the file", entry.Name)
		}
		scopes[entry.Name] = strings.Join(entry.Scopes, ",")
	}
	if want := map[string]string{"job": "inference", "prometheus": "metrics"}; !maps.Equal(scopes, want) {
		t.Errorf("got %v, want %v", scopes, want)
	}

	before := map[string]string{}
	for _, name := range []string{"keys.yaml", "job.key", "prometheus.key", "grafana.password"} {
		before[name] = string(contents(t, secrets, name))
	}
	// A key that is lost is made anew, and the others stay.
	if err := os.Remove(filepath.Join(secrets, "job.key")); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(filepath.Join(directory, "setup")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, name := range []string{"prometheus.key", "grafana.password"} {
		if string(contents(t, secrets, name)) != before[name] {
			t.Errorf("%s has changed", name)
		}
	}
	hash := sha256.Sum256(contents(t, secrets, "job.key"))
	after := string(contents(t, secrets, "keys.yaml"))
	if !strings.HasPrefix(after, before["keys.yaml"]) || !strings.Contains(after, hex.EncodeToString(hash[:])) {
		t.Errorf("%s", after)
	}
}

func TestTheCommandLineHasEveryVerbAndFlagThatComposeUses(t *testing.T) {
	project, _ := compose(t)
	known := verbs(t)
	check := func(what string, command []string) {
		flags, is := known[command[0]]
		if !is {
			t.Errorf("%s: textnlp has no verb %s", what, command[0])
			return
		}
		for _, word := range command[1:] {
			flag, _, _ := strings.Cut(word, "=")
			if strings.HasPrefix(flag, "--") && !slices.Contains(flags, strings.TrimPrefix(flag, "--")) {
				t.Errorf("%s: `textnlp %s` has no flag %s; it has %q", what, command[0], flag, flags)
			}
		}
	}
	for _, name := range []string{"server", "job"} {
		check(name, project.Services[name].Command)
	}
	health := project.Services["server"].HealthCheck.Test
	if !slices.Equal(health[:2], []string{"CMD", "/textnlp"}) { // there is no shell
		t.Fatalf("%q", health)
	}
	check("the health check", health[2:])
	if !strings.Contains(string(read(t, "images/Dockerfile")), `ENTRYPOINT ["/textnlp"]`) {
		t.Error("the image has another program")
	}
}

func TestTheServerEndsInTheTimeThatComposeGivesIt(t *testing.T) {
	project, _ := compose(t)
	server := project.Services["server"]
	seconds := 5 * time.Second // --drain-grace
	for _, word := range server.Command {
		if value, is := strings.CutPrefix(word, "--drain-seconds="); is {
			more, err := time.ParseDuration(value + "s")
			if err != nil {
				t.Fatal(err)
			}
			seconds += more
		}
	}
	if grace := time.Duration(*server.StopGracePeriod); grace <= seconds || seconds == 5*time.Second {
		t.Errorf("it is killed after %v, and may take %v", grace, seconds)
	}
}

func TestTheJobAsksTheServerWithItsKey(t *testing.T) {
	project, checkout := compose(t)
	job, server := project.Services["job"], project.Services["server"]
	mounted := objects{}
	for _, volume := range job.Volumes {
		if filepath.Dir(volume.Target) != "/job" {
			continue
		}
		relative, err := filepath.Rel(checkout, volume.Source)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(mounted, parse(t, read(t, relative)))
	}
	conform(t, map[string]objects{"job": mounted})
	kinds := slices.Sorted(maps.Keys(mounted))
	if want := []string{"ConfigMap/airports", "GenerationJob/airport-tickets", "ModelDeployment/smollm2"}; !slices.Equal(kinds, want) {
		t.Fatalf("got %q, want %q", kinds, want)
	}
	external := field(mounted["ModelDeployment/smollm2"], "spec", "source", "external")
	reaches(t, project, "job", field(external, "endpoint").(string))
	if !slices.Contains(server.Command, "--name="+field(external, "model").(string)) || field(external, "secretRef") == nil {
		t.Errorf("%v", external)
	}
	secret := func(service types.ServiceConfig, name, path string) {
		if !slices.ContainsFunc(service.Secrets, func(secret types.ServiceSecretConfig) bool {
			return secret.Source == name && "/run/secrets/"+secret.Target == path
		}) {
			t.Errorf("%s: the secret %s is not at %s", service.Name, name, path)
		}
	}
	secret(job, "job", *job.Environment["TEXTNLP_API_KEY_FILE"])
	secret(project.Services["grafana"], "grafana", *project.Services["grafana"].Environment["GF_SECURITY_ADMIN_PASSWORD__FILE"])
	for _, word := range server.Command {
		if path, is := strings.CutPrefix(word, "--keys="); is {
			secret(server, "keys", path)
		}
	}
	if job.DependsOn["server"].Condition != types.ServiceConditionHealthy {
		t.Error("the job does not wait for the model")
	}
}

// reaches fails if a service cannot call this address of another.
func reaches(t *testing.T, project *types.Project, from, address string) {
	t.Helper()
	if !strings.Contains(address, "//") {
		address = "//" + address
	}
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	to, there := project.Services[parsed.Hostname()]
	if !there {
		t.Errorf("%s: there is no service %s", from, parsed.Hostname())
		return
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(to.Networks)), func(network string) bool {
		_, shared := project.Services[from].Networks[network]
		return shared
	}) {
		t.Errorf("%s and %s have no network in common", from, to.Name)
	}
	listens := map[string][]string{"server": {"8000"}, "prometheus": {"9090"}, "collector": {"4318"}, "jaeger": {"4317"}}
	if !slices.Contains(listens[to.Name], parsed.Port()) {
		t.Errorf("%s does not listen on %s", to.Name, parsed.Port())
	}
	if to.Name == "server" && !slices.Contains(to.Command, "--listen=0.0.0.0:"+parsed.Port()) {
		t.Errorf("%q", to.Command)
	}
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	found, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func contents(t *testing.T, parts ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
