# The same names as in the modules of the other clouds: what a root module does with them is the same.

output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "endpoint" {
  description = "Address of the API server."
  value       = aws_eks_cluster.this.endpoint
}

output "ca_certificate" {
  description = "Certificate, in PEM, with which the API server is known."
  value       = base64decode(aws_eks_cluster.this.certificate_authority[0].data)
}

output "object_store" {
  description = "The bucket, as a manifest names it: the fields of `objectStore`, a path has to be added to the uri."
  value = {
    uri    = "s3://${aws_s3_bucket.this.bucket}"
    region = data.aws_region.current.region
  }
}

output "service_account_annotations" {
  description = "Annotations of the service accounts of `workloads`. None: EKS knows them by namespace and name."
  value       = {}
}

output "cpu_pod" {
  description = "What `pod` of a GenerationJob, and of a ModelDeployment on CPUs, needs beside its service account."
  value       = { nodeSelector = { (local.pool_label) = "cpu" } }

  # The identity is there before the first pod is.
  depends_on = [aws_eks_pod_identity_association.workload]
}

output "gpu_pod" {
  description = "What `pod` of a ModelDeployment on GPUs needs beside its service account; null without such a pool."
  value       = var.gpu_pool == null ? null : { nodeSelector = { (local.pool_label) = "gpu" } }

  depends_on = [aws_eks_pod_identity_association.workload]
}

output "gpu_taint" {
  description = "Taint of GPU nodes, which models that ask for a GPU tolerate by themselves; null without such a pool."
  value       = var.gpu_pool == null ? null : "${local.gpu_taint.key}=${local.gpu_taint.value}:NoSchedule"
}

output "storage_class" {
  description = "Storage class of encrypted disks, for the module `operator`."
  value = {
    provisioner = "ebs.csi.aws.com"
    parameters  = { type = "gp3", encrypted = "true", kmsKeyId = aws_kms_key.disks.arn }
  }

  depends_on = [aws_eks_addon.disks]
}

output "autoscaler_role_arn" {
  description = "Role of the cluster autoscaler, for the module `eks/autoscaler`."
  value       = aws_iam_role.pods["autoscaler"].arn
}

output "vpc_id" {
  description = "The network, for peering and endpoints of yours."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "The nodes' subnets."
  value       = [for subnet in aws_subnet.private : subnet.id]
}

output "private_route_table_id" {
  description = "Routes of the nodes' subnets, for peering of yours."
  value       = aws_route_table.private.id
}
