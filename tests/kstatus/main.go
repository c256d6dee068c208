// kstatus prints the status that Helm, Flux and kpt compute for Kubernetes objects, with the library that they use.
//
// It reads YAML or JSON from standard input, documents or a List (kubectl get -o yaml), and prints one line for each
// object: kind/name, status and message, separated by tabs. It exits with 1 if the input is no object.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	objects, err := read(in)
	if err != nil {
		return err
	}
	for _, object := range objects {
		result, err := status.Compute(object)
		if err != nil {
			return fmt.Errorf("%s/%s: %w", object.GetKind(), object.GetName(), err)
		}
		message := strings.ReplaceAll(result.Message, "\n", " ")
		fmt.Fprintf(out, "%s/%s\t%s\t%s\n", object.GetKind(), object.GetName(), result.Status, message)
	}
	return nil
}

// read yields the objects of all documents; a List counts as its items.
func read(in io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	documents := yaml.NewYAMLReader(bufio.NewReader(in))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		parsed, err := parse(document)
		if err != nil {
			return nil, err
		}
		objects = append(objects, parsed...)
	}
	if len(objects) == 0 {
		return nil, errors.New("the input has no object")
	}
	return objects, nil
}

func parse(document []byte) ([]*unstructured.Unstructured, error) {
	// UnmarshalJSON keeps integers as int64, which the library asks for.
	json, err := yaml.ToJSON(document)
	if err != nil {
		return nil, err
	}
	if string(json) == "null" {
		return nil, nil // a comment
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(json); err != nil {
		return nil, err
	}
	if !object.IsList() {
		return []*unstructured.Unstructured{object}, nil
	}
	list, err := object.ToList()
	if err != nil {
		return nil, err
	}
	items := make([]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		items[i] = &list.Items[i]
	}
	return items, nil
}
