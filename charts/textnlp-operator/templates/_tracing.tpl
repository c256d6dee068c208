{{/* Where traces go, as the operator reads it; it hands the same to the pods that it starts, where the Secret is one of their namespace. */}}
{{- define "textnlp-operator.tracingEnvironment" -}}
{{- with .Values.tracing }}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
{{- with .sampler }}
- name: OTEL_TRACES_SAMPLER
  value: {{ . }}
{{- end }}
{{- with .samplerArg }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ . | quote }}
{{- end }}
- name: TEXTNLP_TRACE_ROWS
  value: {{ .rows | int64 | quote }}
{{- with .headersSecret }}
{{- if .name }}
- name: TEXTNLP_TRACE_HEADERS_SECRET
  value: {{ printf "%s/%s" .name .key | quote }}
# For the operator's own spans.
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef: {name: {{ .name }}, key: {{ .key | quote }}, optional: true}
{{- end }}
{{- end }}
{{- else if or .headersSecret.name .sampler .samplerArg }}
{{- fail "tracing.endpoint is needed with the other values of tracing: name the collector, such as http://collector.monitoring:4318" }}
{{- end }}
{{- if and .samplerArg (not (hasSuffix "traceidratio" .sampler)) }}
{{- fail "tracing.samplerArg is the share of traces of a sampler by ratio: set tracing.sampler to traceidratio or parentbased_traceidratio" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Port of the collector: the address's, or its scheme's. */}}
{{- define "textnlp-operator.tracingPort" -}}
{{- $address := urlParse .Values.tracing.endpoint }}
{{- regexFind ":[0-9]+$" $address.host | trimPrefix ":" | default (ternary "443" "80" (eq $address.scheme "https")) }}
{{- end }}
