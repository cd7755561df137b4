module bowline.dev/testbed/definitions

go 1.26.0

// For the definitions of kinds that are not ours, which lie in these modules as YAML; nothing of them is built.
require (
	github.com/argoproj/argo-workflows/v3 v3.7.1
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.4.0
)
