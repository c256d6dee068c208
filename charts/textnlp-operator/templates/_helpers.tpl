{{- define "textnlp-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* Name of every object: the release's, with the chart's where the release's lacks it. At most 52 characters, as suffixes follow. */}}
{{- define "textnlp-operator.fullname" -}}
{{- $name := include "textnlp-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "textnlp-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "textnlp-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed with serviceAccount.create=false: name the account that the operator runs as" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "textnlp-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "textnlp-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "textnlp-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "textnlp-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: textnlp
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Each label once, also where the user says the same: Flux and kustomize read no manifest that names a key twice. */}}
{{- define "textnlp-operator.nodeSelector" -}}
{{- merge (dict "kubernetes.io/os" "linux") (default (dict) .Values.nodeSelector) | toYaml }}
{{- end }}

{{/* registry/repository:tag, or @digest. Takes {image, root}. */}}
{{- define "textnlp-operator.image" -}}
{{- $tag := .image.tag | default .root.Chart.AppVersion }}
{{- $name := .image.repository }}
{{- if .image.registry }}
{{- $name = printf "%s/%s" .image.registry $name }}
{{- end }}
{{- if .image.digest }}
{{- printf "%s@%s" $name .image.digest }}
{{- else }}
{{- printf "%s:%s" $name $tag }}
{{- end }}
{{- end }}

{{/* Egress rules of a NetworkPolicy. */}}
{{- define "textnlp-operator.egressToAPIServer" -}}
# DNS, wherever it answers: some clusters have it on each node.
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
# The API server.
- ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.apiServer.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
