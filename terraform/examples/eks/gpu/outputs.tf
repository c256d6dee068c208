# terraform output -raw manifests | kubectl apply -f -

locals {
  account = { serviceAccountName = module.operator.service_accounts[local.workload.namespace] }
}

output "manifests" {
  description = "A model and a job for this cluster, ready for `kubectl apply -f -`."
  value = templatefile("${path.module}/../../manifests/gpu.yaml.tftpl", {
    namespace          = local.workload.namespace
    storage_class_name = module.operator.storage_class_name
    destination        = merge(module.cluster.object_store, { uri = "${module.cluster.object_store.uri}/many-rows/" })
    cpu_pod            = merge(module.cluster.cpu_pod, local.account)
    gpu_pod            = merge(module.cluster.gpu_pod, local.account)
  })
}

output "object_store" {
  description = "The bucket, as a manifest names it."
  value       = module.cluster.object_store
}
