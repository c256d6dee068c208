locals {
  restricted = {
    "pod-security.kubernetes.io/enforce" = "restricted"
    "pod-security.kubernetes.io/audit"   = "restricted"
    "pod-security.kubernetes.io/warn"    = "restricted"
  }

  # Nulls would take the chart's own values away.
  image          = { for key, value in var.image : key => value if value != null }
  workload_image = { for key, value in var.workload_image : key => value if value != null }

  values = {
    image            = local.image
    workloadImage    = local.workload_image
    imagePullSecrets = [for name in var.image_pull_secrets : { name = name }]
    replicas         = var.replicas
    watchNamespaces  = var.watch_workspaces_only ? keys(var.workspaces) : []
    nodeSelector     = var.node_selector
    servers          = { access = { kubernetes = { enabled = var.server_access } } }
    serviceMonitor   = { enabled = var.service_monitor }
  }
}

resource "kubernetes_namespace_v1" "operator" {
  metadata {
    name   = var.namespace
    labels = local.restricted
  }
}

# Jobs and models. Deleted with them: what is in them, claims with datasets included; what is in the object store stays.
resource "kubernetes_namespace_v1" "workspace" {
  for_each = var.workspaces

  metadata {
    name   = each.key
    labels = merge(each.value.labels, local.restricted)
  }
}

# What `pod.serviceAccountName` names. No token is mounted: the cloud's identity comes by itself where a pod's account has one.
resource "kubernetes_service_account_v1" "workspace" {
  for_each = var.workspaces

  automount_service_account_token = false

  metadata {
    name        = each.value.service_account
    namespace   = kubernetes_namespace_v1.workspace[each.key].metadata[0].name
    annotations = each.value.annotations
  }
}

# A volume is made where its pod runs, grows when asked, and goes with its claim.
resource "kubernetes_storage_class_v1" "this" {
  count = var.storage_class == null ? 0 : 1

  storage_provisioner    = var.storage_class.provisioner
  parameters             = var.storage_class.parameters
  reclaim_policy         = "Delete"
  volume_binding_mode    = "WaitForFirstConsumer"
  allow_volume_expansion = true

  metadata {
    name = var.storage_class.name
  }
}

# The CRDs are templates of the chart: an upgrade upgrades them, and they outlive the release, as all jobs and models do.
resource "helm_release" "operator" {
  name             = var.release
  namespace        = kubernetes_namespace_v1.operator.metadata[0].name
  create_namespace = false
  chart            = var.chart
  version          = var.chart_version
  values           = [yamlencode(local.values), yamlencode(var.values)]
  atomic           = true
  cleanup_on_fail  = true
  lint             = true
  max_history      = 10
  timeout          = var.timeout_seconds

  # Roles lie in the namespaces that are watched.
  depends_on = [kubernetes_namespace_v1.workspace]
}
