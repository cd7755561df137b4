// Command health says what Argo CD and Flux make of objects, by the scripts and expressions that deploy/ ships.
//
//	health ARGO_CM FLUX_KUSTOMIZATION < objects.json > verdicts.json
//
// It reads a JSON array of Kubernetes objects and writes a JSON array of verdicts, in the same order.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

type healthStatus struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type verdict struct {
	Argo healthStatus `json:"argo"`
	Flux healthStatus `json:"flux"`
}

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: health ARGO_CM FLUX_KUSTOMIZATION"))
	}
	argo, err := readArgo(os.Args[1])
	if err != nil {
		fail(err)
	}
	flux, err := readFlux(os.Args[2])
	if err != nil {
		fail(err)
	}
	objects, err := readObjects()
	if err != nil {
		fail(err)
	}
	verdicts := make([]verdict, 0, len(objects))
	for _, object := range objects {
		seenByArgo, err := argo.judge(object)
		if err != nil {
			fail(fmt.Errorf("argo, %s %s: %w", object.GetKind(), object.GetName(), err))
		}
		verdicts = append(verdicts, verdict{seenByArgo, flux.judge(context.Background(), object)})
	}
	if err := json.NewEncoder(os.Stdout).Encode(verdicts); err != nil {
		fail(err)
	}
}

// readObjects reads standard input as the API machinery reads objects: whole numbers stay integers.
func readObjects() ([]*unstructured.Unstructured, error) {
	var raw []json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&raw); err != nil {
		return nil, err
	}
	objects := make([]*unstructured.Unstructured, 0, len(raw))
	for _, text := range raw {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(text); err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// readYAML reads the file at path into target.
func readYAML(path string, target any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return yaml.Unmarshal(text, target)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "health:", err)
	os.Exit(1)
}
