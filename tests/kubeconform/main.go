// kubeconform validates manifests strictly, without a cluster and without a network: each object must be one that its
// kind's schema allows, and have no field that the schema does not know.
//
//	kubeconform build DIRECTORY                           writes the schemas of Kubernetes, Argo CD, Flux and Prometheus' operator
//	kubeconform [--schemas DIRECTORY] [--crds DIRECTORY] [FILE...]
//
// The second form reads the files, or standard input, against these schemas (by default those in `schemas` beside the
// program) and those of the CRDs in the directory. It exits with 1 if an object is not valid, and if there is none.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/yannh/kubeconform/pkg/validator"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(arguments []string, in io.Reader, out io.Writer) error {
	if len(arguments) == 2 && arguments[0] == "build" {
		return build(arguments[1])
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("kubeconform", flag.ContinueOnError)
	schemas := flags.String("schemas", filepath.Join(filepath.Dir(program), "schemas"), "`directory` that `build` wrote")
	crds := flags.String("crds", "", "`directory` of CRDs whose kinds are known, too")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	own, err := os.MkdirTemp("", "kubeconform-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(own)
	if *crds != "" {
		shared, err := filepath.Abs(filepath.Join(*schemas, definitions))
		if err != nil {
			return err
		}
		if err := writeCRDs(own, *crds, "file://"+shared); err != nil {
			return err
		}
	}
	check, err := open(own, *schemas)
	if err != nil {
		return err
	}
	return validate(check, flags.Args(), in, out)
}

// open makes a validator of the schemas in these directories, the first that knows a kind being asked.
func open(directories ...string) (validator.Validator, error) {
	var locations []string
	for _, directory := range directories {
		if _, err := os.Stat(directory); err != nil {
			return nil, fmt.Errorf("there are no schemas: %w (write them with: kubeconform build DIRECTORY)", err)
		}
		locations = append(locations, filepath.Join(directory, "{{ .Group }}", "{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json"))
	}
	return validator.New(locations, validator.Opts{Strict: true})
}

func validate(check validator.Validator, files []string, in io.Reader, out io.Writer) error {
	var valid, invalid int
	one := func(name string, stream io.ReadCloser) {
		for _, result := range check.Validate(name, stream) {
			switch result.Status {
			case validator.Valid:
				valid++
			case validator.Empty: // a comment between two separators
			default:
				invalid++
				report(out, name, result)
			}
		}
	}
	if len(files) == 0 {
		one("standard input", io.NopCloser(in))
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		one(name, file)
	}
	switch {
	case invalid > 0:
		return fmt.Errorf("%d of %d objects are not valid", invalid, valid+invalid)
	case valid == 0:
		return errors.New("the input has no object")
	}
	fmt.Fprintf(out, "%d objects are valid\n", valid)
	return nil
}

// report says what is wrong with one object, a line for each place in it.
func report(out io.Writer, file string, result validator.Result) {
	object := "an object"
	if signature, err := result.Resource.Signature(); err == nil && signature.Kind != "" {
		object = strings.TrimSpace(signature.Kind + " " + signature.Name)
	}
	// The schema's own report is a list, in one line: `… - at '/spec': additional properties 'x' not allowed - at …`.
	complaints := strings.Split(result.Err.Error(), " - at ")
	if len(complaints) > 1 {
		complaints = complaints[1:]
	}
	for _, complaint := range complaints {
		// That a part is not valid since one below it is not, says nothing.
		if complaint = strings.TrimSpace(complaint); !strings.HasSuffix(complaint, "validation failed") {
			fmt.Fprintf(out, "%s: %s: %s\n", file, object, complaint)
		}
	}
}
