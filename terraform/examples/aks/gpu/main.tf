# AKS with nodes for jobs and with GPUs for models, both from zero; the operator; a namespace whose pods may use the bucket.

locals {
  workload = { namespace = "datasets", service_account = "textnlp" }
}

module "cluster" {
  source = "../../../modules/aks"

  name                = "textnlp-gpu"
  location            = var.location
  administrators      = var.administrators
  authorized_networks = var.authorized_networks
  workloads           = [local.workload]

  gpu_pool = {
    vm_size   = "Standard_NC4as_T4_v3" # one T4
    max_nodes = 2
  }
}

module "device_plugin" {
  source = "../../../modules/aks/device-plugin"

  node_labels = module.cluster.gpu_labels
}

module "operator" {
  source = "../../../modules/operator"

  chart          = "${path.module}/../../../../charts/textnlp-operator"
  image          = { registry = var.registry }
  workload_image = { registry = var.registry }
  storage_class  = module.cluster.storage_class

  workspaces = {
    (local.workload.namespace) = {
      service_account = local.workload.service_account
      annotations     = module.cluster.service_account_annotations
    }
  }
}
