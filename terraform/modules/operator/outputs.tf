output "namespace" {
  description = "Namespace of the operator."
  value       = kubernetes_namespace_v1.operator.metadata[0].name
}

output "release" {
  description = "Name and chart version of the release."
  value = {
    name    = helm_release.operator.name
    version = helm_release.operator.metadata.version
  }
}

output "service_accounts" {
  description = "Service accounts of the workspaces, by namespace: `pod.serviceAccountName` of their jobs and models."
  value       = { for namespace, account in kubernetes_service_account_v1.workspace : namespace => account.metadata[0].name }
}

output "storage_class_name" {
  description = "Name of the storage class for caches and claims; null: the cluster's default."
  value       = one(kubernetes_storage_class_v1.this[*].metadata[0].name)
}
