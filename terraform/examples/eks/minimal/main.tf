# EKS with nodes for jobs and models on CPUs, from zero; the operator; a namespace whose pods may use the bucket.

locals {
  workload = { namespace = "datasets", service_account = "textnlp" }
}

module "cluster" {
  source = "../../../modules/eks"

  name                = "textnlp"
  authorized_networks = var.authorized_networks
  workloads           = [local.workload]
}

module "autoscaler" {
  source = "../../../modules/eks/autoscaler"

  cluster_name = module.cluster.cluster_name
  role_arn     = module.cluster.autoscaler_role_arn
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
