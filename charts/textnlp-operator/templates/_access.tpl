{{/*
Who may call the servers, as the operator reads it. Keys and OIDC alone would lock out a job's workers, and the operator that reads
the servers' metrics: both are known by tokens of Kubernetes.
*/}}
{{- define "textnlp-operator.accessEnvironment" -}}
{{- $access := .Values.servers.access }}
{{- if ne (empty $access.oidc.issuer) (empty $access.oidc.audience) }}
{{- fail "servers.access.oidc.issuer and servers.access.oidc.audience belong together: set both, or none" }}
{{- end }}
{{- if $access.kubernetes.enabled }}
- name: TEXTNLP_KUBERNETES_ACCESS
  value: "true"
- name: TEXTNLP_KUBERNETES_AUDIENCE
  value: {{ $access.kubernetes.audience | quote }}
- name: TEXTNLP_API_SERVER
  value: {{ .Values.networkPolicy.apiServer | toJson | quote }}
{{- with $access.keysSecret.name }}
- name: TEXTNLP_KEYS_SECRET
  value: {{ . | quote }}
- name: TEXTNLP_KEYS_SECRET_KEY
  value: {{ $access.keysSecret.key | quote }}
{{- end }}
{{- with $access.oidc.issuer }}
- name: TEXTNLP_OIDC_ISSUER
  value: {{ . | quote }}
- name: TEXTNLP_OIDC_AUDIENCE
  value: {{ $access.oidc.audience | quote }}
- name: TEXTNLP_OIDC_ALGORITHMS
  value: {{ $access.oidc.algorithms | join "," | quote }}
{{- end }}
{{- else if or $access.keysSecret.name $access.oidc.issuer }}
{{- fail "servers.access.kubernetes.enabled is needed with servers.access.keysSecret.name or servers.access.oidc.issuer: a job's workers and the operator are known by tokens of Kubernetes" }}
{{- end }}
{{- end }}
