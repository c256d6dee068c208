# What makes nodes of the pools when pods wait for them, and takes them away when nobody needs them. GKE and AKS have this built in.

data "aws_region" "current" {}

locals {
  namespace       = "kube-system"
  service_account = "cluster-autoscaler"
}

resource "aws_eks_pod_identity_association" "this" {
  cluster_name    = var.cluster_name
  namespace       = local.namespace
  service_account = local.service_account
  role_arn        = var.role_arn
}

resource "helm_release" "this" {
  name       = "cluster-autoscaler"
  namespace  = local.namespace
  chart      = var.chart
  repository = var.repository
  version    = var.chart_version
  atomic     = true
  timeout    = 600

  values = [yamlencode({
    autoDiscovery = { clusterName = var.cluster_name }
    awsRegion     = data.aws_region.current.region
    cloudProvider = "aws"
    rbac          = { serviceAccount = { name = local.service_account } }
    replicaCount  = 2
    extraArgs = {
      balance-similar-node-groups      = true
      scale-down-unneeded-time         = "${var.idle_minutes}m"
      skip-nodes-with-local-storage    = false # servers and workers have an emptyDir for /tmp
      skip-nodes-with-system-pods      = false # or one of CoreDNS would keep a node that has a GPU
      ignore-daemonsets-utilization    = true
      scale-down-utilization-threshold = "0.5"
    }
  })]

  depends_on = [aws_eks_pod_identity_association.this]
}
