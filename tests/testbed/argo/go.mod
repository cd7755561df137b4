module bowline.dev/testbed/argo

go 1.26.0

// For the definition of WorkflowTemplate in its folder manifests; nothing of it is built.
require github.com/argoproj/argo-workflows/v3 v3.7.1
