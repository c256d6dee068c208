locals {
  # What jobs and models select: `pod.nodeSelector`.
  pool_label = "textnlp.dev/pool"
  # What keeps other pods from GPU nodes. Models that ask for a GPU get the toleration from the operator.
  gpu_taint = { key = "nvidia.com/gpu", value = "present", effect = "NoSchedule" }
  # What the device plugin of NVIDIA selects: the module `aks/device-plugin` installs it.
  gpu_labels = { "nvidia.com/gpu.present" = "true" }

  pools = merge(
    { cpu = merge(var.cpu_pool, { labels = {}, taints = [], gpu_driver = null }) },
    var.gpu_pool == null ? {} : {
      gpu = merge(var.gpu_pool, {
        labels     = local.gpu_labels
        taints     = ["${local.gpu_taint.key}=${local.gpu_taint.value}:${local.gpu_taint.effect}"]
        gpu_driver = "Install"
      })
    },
  )

  # AKS puts this taint on every node of a spot pool.
  spot_taint = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
  spot_toleration = {
    key      = "kubernetes.azure.com/scalesetpriority"
    operator = "Equal"
    value    = "spot"
    effect   = "NoSchedule"
  }
}

resource "azurerm_kubernetes_cluster_node_pool" "this" {
  for_each = local.pools

  name                        = each.key
  kubernetes_cluster_id       = azurerm_kubernetes_cluster.this.id
  mode                        = "User"
  vm_size                     = each.value.vm_size
  auto_scaling_enabled        = true
  min_count                   = each.value.min_nodes
  max_count                   = each.value.max_nodes
  os_disk_size_gb             = each.value.disk_gib
  zones                       = each.value.zones
  vnet_subnet_id              = azurerm_subnet.nodes.id
  node_labels                 = merge({ (local.pool_label) = each.key }, each.value.labels, each.value.spot ? { "kubernetes.azure.com/scalesetpriority" = "spot" } : {})
  node_taints                 = concat(each.value.taints, each.value.spot ? [local.spot_taint] : [])
  gpu_driver                  = each.value.gpu_driver
  priority                    = each.value.spot ? "Spot" : "Regular"
  eviction_policy             = each.value.spot ? "Delete" : null
  spot_max_price              = each.value.spot ? -1 : null # up to the price of a regular machine
  temporary_name_for_rotation = "${each.key}new"
  tags                        = var.tags

  # A spot pool knows none.
  dynamic "upgrade_settings" {
    for_each = each.value.spot ? [] : ["10%"]

    content {
      max_surge = upgrade_settings.value
    }
  }

  lifecycle {
    ignore_changes = [node_count]
  }
}
