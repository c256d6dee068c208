{{/*
What the operator may do with the resources that it runs: the table of docs/pods.md, which a test compares with this.
No wildcard, and nothing about Secrets: pods mount them, the operator never reads one.
*/}}
{{- define "textnlp-operator.rules" -}}
- apiGroups: [textnlp.dev]
  resources: [generationjobs, modeldeployments]
  verbs: [list, watch]
- apiGroups: [textnlp.dev]
  resources: [generationjobs/status, modeldeployments/status]
  verbs: [patch]
{{- if .Values.servers.access.kubernetes.enabled }}
# Servers show their metrics to who may get their ModelDeployment.
- apiGroups: [textnlp.dev]
  resources: [modeldeployments]
  verbs: [get]
{{- end }}
# Children name their owner with blockOwnerDeletion.
- apiGroups: [textnlp.dev]
  resources: [generationjobs/finalizers, modeldeployments/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# Why a pod does not start stands in its events alone.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* In the operator's own namespace: the lease that makes one replica the leader. No rule can name what is yet to be created. */}}
{{- define "textnlp-operator.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "textnlp-operator.fullname" . }}]
  verbs: [get, update]
{{- end }}
