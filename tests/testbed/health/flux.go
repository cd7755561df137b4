package main

import (
	"context"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// flux has the compiled healthCheckExprs of a Kustomization.
type flux struct {
	byKind map[schema.GroupVersionKind]*cel.StatusEvaluator
}

func readFlux(path string) (*flux, error) {
	var kustomization struct {
		Spec struct {
			HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	if err := readYAML(path, &kustomization); err != nil {
		return nil, err
	}
	byKind := map[schema.GroupVersionKind]*cel.StatusEvaluator{}
	for _, check := range kustomization.Spec.HealthCheckExprs {
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return nil, err
		}
		byKind[schema.FromAPIVersionAndKind(check.APIVersion, check.Kind)] = evaluator
	}
	return &flux{byKind}, nil
}

// judge gives kstatus's word for the object, by its expressions or, where it has none, as Flux does without them. As in Flux an
// expression that goes wrong makes it Unknown, for which Flux waits on.
func (f *flux) judge(ctx context.Context, object *unstructured.Unstructured) healthStatus {
	compute := status.Compute
	if evaluator, ok := f.byKind[object.GroupVersionKind()]; ok {
		compute = func(object *unstructured.Unstructured) (*status.Result, error) {
			return evaluator.Evaluate(ctx, object)
		}
	}
	result, err := compute(object)
	if err != nil {
		return healthStatus{status.UnknownStatus.String(), err.Error()}
	}
	return healthStatus{result.Status.String(), result.Message}
}
