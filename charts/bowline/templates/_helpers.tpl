{{/* The manifests of deploy/ and crds/ are the source of everything here (files/ are links): templates change what values say. */}}

{{/* The labels app.kubernetes.io/* of an object. In: root, and optionally its labels as shipped, and its component. */}}
{{- define "bowline.labels" -}}
{{- $ours := dict "app.kubernetes.io/instance" .root.Release.Name
    "app.kubernetes.io/version" .root.Chart.AppVersion
    "app.kubernetes.io/part-of" "bowline"
    "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- toYaml (merge $ours (.shipped | default dict) .root.Values.commonLabels) }}
{{- end }}

{{/* A shipped manifest, in this release's namespace. In: root, path. */}}
{{- define "bowline.text" -}}
{{- .root.Files.Get (print "files/" .path) | required (print "the chart has no file " .path) | replace "bowline-system" .root.Release.Namespace }}
{{- end }}

{{/* Prints an object of a shipped file. In: root, path, object, and optionally keep: `helm uninstall` leaves it in the cluster. */}}
{{- define "bowline.object" -}}
{{- $metadata := .object.metadata }}
{{- $shipped := merge (include "bowline.pairs" . | fromYaml) ($metadata.labels | default dict) }}
{{- $_ := set $metadata "labels" (include "bowline.labels" (dict "root" .root "shipped" $shipped) | fromYaml) }}
{{- if .keep }}
{{- $_ := set $metadata "annotations" (merge (dict "helm.sh/resource-policy" "keep") ($metadata.annotations | default dict)) }}
{{- end }}
---
{{ toYaml .object }}
{{ end }}

{{/* The labels that the kustomization beside a shipped file gives its objects. In: root, path. */}}
{{- define "bowline.pairs" -}}
{{- $kustomization := .root.Files.Get (printf "files/%s/kustomization.yaml" (dir .path)) | fromYaml }}
{{- range $kustomization.labels }}
{{ toYaml .pairs }}
{{- end }}
{{- end }}

{{/* Prints all objects of a shipped file. In: root, path, keep. */}}
{{- define "bowline.file" -}}
{{- $given := . }}
{{- range $document := regexSplit "(?m)^---$" (include "bowline.text" .) -1 }}
{{- $object := fromYaml $document }}
{{- if $object }}
{{- include "bowline.object" (merge (dict "object" $object) $given) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Prints all objects of the files that a pattern names. In: root, pattern, keep. */}}
{{- define "bowline.files" -}}
{{- $given := . }}
{{- range $path, $_ := .root.Files.Glob (print "files/" .pattern) }}
{{- if ne (base $path) "kustomization.yaml" }}
{{- include "bowline.file" (merge (dict "path" (trimPrefix "files/" $path)) $given) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "bowline.image" -}}
{{- $image := .Values.image }}
{{- $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Flags of a program from a map, as a list in YAML. */}}
{{- define "bowline.flags" -}}
{{- $words := list }}
{{- range $name, $value := . }}
{{- if kindIs "bool" $value }}
{{- if $value }}{{ $words = append $words (print "--" $name) }}{{ end }}
{{- else if kindIs "slice" $value }}
{{- if $value }}{{ $words = append $words (printf "--%s=%s" $name (join "," $value)) }}{{ end }}
{{- else }}
{{- $words = append $words (printf "--%s=%v" $name $value) }}
{{- end }}
{{- end }}
{{- toYaml $words }}
{{- end }}

{{/* Prints a shipped Deployment with what values add to it. In: root, path, values, args, and optionally volumes and mounts. */}}
{{- define "bowline.deployment" -}}
{{- $root := .root }}
{{- $values := .values }}
{{- $deployment := include "bowline.text" . | fromYaml }}
{{- $template := $deployment.spec.template }}
{{- $pod := $template.spec }}
{{- $container := first $pod.containers }}
{{- if .scaled }}
{{- $_ := unset $deployment.spec "replicas" }}
{{- else }}
{{- $_ := set $deployment.spec "replicas" $values.replicas }}
{{- end }}
{{- $_ := set $container "image" (include "bowline.image" $root) }}
{{- if ne $root.Values.image.pullPolicy "IfNotPresent" }}
{{- $_ := set $container "imagePullPolicy" $root.Values.image.pullPolicy }}
{{- end }}
{{- $_ := set $container "args" .args }}
{{- $_ := set $container "resources" $values.resources }}
{{- with $values.extraEnv }}{{ $_ := set $container "env" (concat ($container.env | default list) .) }}{{ end }}
{{- with concat (.mounts | default list) $values.extraVolumeMounts }}
{{- $_ := set $container "volumeMounts" (concat ($container.volumeMounts | default list) .) }}
{{- end }}
{{- with concat (.volumes | default list) $values.extraVolumes }}
{{- $_ := set $pod "volumes" (concat ($pod.volumes | default list) .) }}
{{- end }}
{{- with $values.extraContainers }}{{ $_ := set $pod "containers" (concat $pod.containers .) }}{{ end }}
{{- with $root.Values.imagePullSecrets }}{{ $_ := set $pod "imagePullSecrets" . }}{{ end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
{{- with index $values $field }}{{ $_ := set $pod $field . }}{{ end }}
{{- end }}
{{- $shipped := merge (include "bowline.pairs" . | fromYaml) $template.metadata.labels }}
{{- $labels := include "bowline.labels" (dict "root" $root "shipped" $shipped) | fromYaml }}
{{- $_ := set $template.metadata "labels" (merge $labels $values.podLabels) }}
{{- with $values.podAnnotations }}{{ $_ := set $template.metadata "annotations" . }}{{ end }}
{{- include "bowline.object" (dict "root" $root "path" .path "object" $deployment) }}
{{- end }}

{{/* Prints a shipped ServiceAccount with its annotations. In: root, path, values. */}}
{{- define "bowline.serviceAccount" -}}
{{- $account := include "bowline.text" . | fromYaml }}
{{- with .values.serviceAccount.annotations }}{{ $_ := set $account.metadata "annotations" . }}{{ end }}
{{- include "bowline.object" (dict "root" .root "path" .path "object" $account) }}
{{- end }}

{{/* Prints a shipped NetworkPolicy with more rules. In: root, path, values. */}}
{{- define "bowline.networkPolicy" -}}
{{- $policy := include "bowline.text" . | fromYaml }}
{{- with .values.networkPolicy.from }}{{ $_ := set (first $policy.spec.ingress) "from" . }}{{ end }}
{{- with .values.networkPolicy.egress }}{{ $_ := set $policy.spec "egress" (concat $policy.spec.egress .) }}{{ end }}
{{- include "bowline.object" (dict "root" .root "path" .path "object" $policy) }}
{{- end }}
