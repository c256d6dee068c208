# The same names as in the modules of the other clouds: what a root module does with them is the same.

locals {
  # The webhook of Azure puts the identity into pods with this label; the account's name is in no `az://` address.
  workload_pod = {
    labels = { "azure.workload.identity/use" = "true" }
    env    = [{ name = "AZURE_STORAGE_ACCOUNT_NAME", value = azurerm_storage_account.this.name }]
  }
}

output "cluster_name" {
  description = "Name of the cluster."
  value       = azurerm_kubernetes_cluster.this.name
}

output "endpoint" {
  description = "Address of the API server."
  value       = azurerm_kubernetes_cluster.this.kube_config[0].host
}

output "ca_certificate" {
  description = "Certificate, in PEM, with which the API server is known."
  value       = base64decode(azurerm_kubernetes_cluster.this.kube_config[0].cluster_ca_certificate)
}

output "object_store" {
  description = "The bucket, as a manifest names it: the fields of `objectStore`, a path has to be added to the uri."
  value       = { uri = "az://${azurerm_storage_container.this.name}" }
}

output "service_account_annotations" {
  description = "Annotations that the service accounts of `workloads` need."
  value       = { "azure.workload.identity/client-id" = azurerm_user_assigned_identity.workload.client_id }
}

output "cpu_pod" {
  description = "What `pod` of a GenerationJob, and of a ModelDeployment on CPUs, needs beside its service account."
  value = merge(local.workload_pod, { nodeSelector = { (local.pool_label) = "cpu" } },
  var.cpu_pool.spot ? { tolerations = [local.spot_toleration] } : {})

  # The identity and the nodes are there before the first pod is.
  depends_on = [azurerm_federated_identity_credential.workload, azurerm_kubernetes_cluster_node_pool.this, azurerm_role_assignment.workload]
}

output "gpu_pod" {
  description = "What `pod` of a ModelDeployment on GPUs needs beside its service account; null without such a pool."
  value = var.gpu_pool == null ? null : merge(local.workload_pod, { nodeSelector = { (local.pool_label) = "gpu" } },
  var.gpu_pool.spot ? { tolerations = [local.spot_toleration] } : {})

  depends_on = [azurerm_federated_identity_credential.workload, azurerm_kubernetes_cluster_node_pool.this, azurerm_role_assignment.workload]
}

output "gpu_taint" {
  description = "Taint of GPU nodes, which models that ask for a GPU tolerate by themselves; null without such a pool."
  value       = var.gpu_pool == null ? null : "${local.gpu_taint.key}=${local.gpu_taint.value}:${local.gpu_taint.effect}"
}

output "gpu_labels" {
  description = "Labels of GPU nodes that the device plugin selects, for the module `aks/device-plugin`."
  value       = local.gpu_labels
}

output "storage_class" {
  description = "Storage class of encrypted disks, for the module `operator`."
  value = {
    provisioner = "disk.csi.azure.com"
    parameters  = { skuName = "StandardSSD_LRS", diskEncryptionSetID = azurerm_disk_encryption_set.this.id }
  }

  depends_on = [azurerm_kubernetes_cluster_node_pool.this]
}

output "resource_group_name" {
  description = "Name of the resource group that everything lies in."
  value       = azurerm_resource_group.this.name
}

output "network_id" {
  description = "The network, for peering of yours."
  value       = azurerm_virtual_network.this.id
}
