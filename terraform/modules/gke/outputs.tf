# The same names as in the modules of the other clouds: what a root module does with them is the same.

output "cluster_name" {
  description = "Name of the cluster."
  value       = google_container_cluster.this.name
}

output "endpoint" {
  description = "Address of the API server."
  value       = "https://${google_container_cluster.this.endpoint}"
}

output "ca_certificate" {
  description = "Certificate, in PEM, with which the API server is known."
  value       = base64decode(google_container_cluster.this.master_auth[0].cluster_ca_certificate)
}

output "object_store" {
  description = "The bucket, as a manifest names it: the fields of `objectStore`, a path has to be added to the uri."
  value       = { uri = "gs://${google_storage_bucket.this.name}" }
}

output "service_account_annotations" {
  description = "Annotations that the service accounts of `workloads` need."
  value       = { "iam.gke.io/gcp-service-account" = google_service_account.workload.email }
}

output "cpu_pod" {
  description = "What `pod` of a GenerationJob, and of a ModelDeployment on CPUs, needs beside its service account."
  value       = { nodeSelector = { (local.pool_label) = "cpu" } }

  # The identity and the nodes are there before the first pod is.
  depends_on = [google_container_node_pool.this, google_service_account_iam_member.workload, google_storage_bucket_iam_member.workload]
}

output "gpu_pod" {
  description = "What `pod` of a ModelDeployment on GPUs needs beside its service account; null without such a pool."
  value       = var.gpu_pool == null ? null : { nodeSelector = { (local.pool_label) = "gpu" } }

  depends_on = [google_container_node_pool.this, google_service_account_iam_member.workload, google_storage_bucket_iam_member.workload]
}

output "gpu_taint" {
  description = "Taint of GPU nodes, which models that ask for a GPU tolerate by themselves; null without such a pool."
  value       = var.gpu_pool == null ? null : "${local.gpu_taint.key}=${local.gpu_taint.value}:NoSchedule"
}

output "storage_class" {
  description = "Storage class of encrypted disks, for the module `operator`."
  value = {
    provisioner = "pd.csi.storage.gke.io"
    parameters  = { type = "pd-balanced", "disk-encryption-kms-key" = google_kms_crypto_key.this["disks"].id }
  }

  depends_on = [google_container_node_pool.this]
}

output "network_id" {
  description = "The network, for peering and firewall rules of yours."
  value       = google_compute_network.this.id
}
