{{/* One name for all of the test: `helm test --logs` asks for a pod by the name of each hook. */}}
{{- define "textnlp-operator.testName" -}}
{{ include "textnlp-operator.fullname" . }}-test
{{- end }}

{{- define "textnlp-operator.testNamespace" -}}
{{ .Values.tests.namespace | default (first .Values.watchNamespaces) | default .Release.Namespace }}
{{- end }}

{{/* No Service, NetworkPolicy or PodDisruptionBudget of the operator may take the test's pod for one of its own. */}}
{{- define "textnlp-operator.testLabels" -}}
{{- $name := include "textnlp-operator.name" . }}
{{- include "textnlp-operator.labels" . | replace (printf "app.kubernetes.io/name: %s\n" $name) (printf "app.kubernetes.io/name: %s-test\n" $name) | replace "component: operator" "component: test" }}
{{- end }}

{{/* Nothing of a test stays but the pod of one that failed, for its log. Takes the weight: hooks are made in its order. */}}
{{- define "textnlp-operator.testAnnotations" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
