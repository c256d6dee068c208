locals {
  # What jobs and models select: `pod.nodeSelector`.
  pool_label = "textnlp.dev/pool"
  # What keeps other pods from GPU nodes. Models that ask for a GPU get the toleration from the operator.
  gpu_taint = { key = "nvidia.com/gpu", value = "present", effect = "NO_SCHEDULE" }

  # Without a GPU, or in whatever zone.
  plain = { accelerator = null, gpus = 0, zones = null, taints = [] }
  pools = merge(
    {
      system = merge(local.plain, { spot = false }, var.system_pool)
      cpu    = merge(local.plain, var.cpu_pool)
    },
    var.gpu_pool == null ? {} : { gpu = merge(var.gpu_pool, { taints = [local.gpu_taint] }) },
  )
}

resource "google_service_account" "nodes" {
  project      = var.project
  account_id   = "${var.name}-nodes"
  display_name = "Nodes of ${var.name}"
  depends_on   = [google_project_service.this]
}

# Logs and metrics of the nodes; images of the project's registry.
resource "google_project_iam_member" "nodes" {
  for_each = toset(["roles/artifactregistry.reader", "roles/container.defaultNodeServiceAccount"])

  project = var.project
  role    = each.value
  member  = google_service_account.nodes.member
}

resource "google_container_node_pool" "this" {
  for_each = local.pools

  project        = var.project
  name           = each.key
  cluster        = google_container_cluster.this.id
  location       = var.region
  node_locations = each.value.zones

  # In each zone; the autoscaler's from then on.
  initial_node_count = each.value.min_nodes > 0 ? 1 : 0

  # Of all zones together.
  autoscaling {
    total_min_node_count = each.value.min_nodes
    total_max_node_count = each.value.max_nodes
    location_policy      = "ANY"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type      = each.value.machine_type
    disk_type         = "pd-balanced"
    disk_size_gb      = each.value.disk_gib
    boot_disk_kms_key = google_kms_crypto_key.this["disks"].id
    image_type        = "COS_CONTAINERD"
    spot              = each.value.spot
    service_account   = google_service_account.nodes.email
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"] # the service account's roles decide
    labels            = { (local.pool_label) = each.key }
    resource_labels   = var.labels
    metadata          = { disable-legacy-endpoints = "true" }

    dynamic "taint" {
      for_each = each.value.taints

      content {
        key    = taint.value.key
        value  = taint.value.value
        effect = taint.value.effect
      }
    }

    dynamic "guest_accelerator" {
      for_each = each.value.gpus > 0 ? [each.value] : []

      content {
        type  = guest_accelerator.value.accelerator
        count = guest_accelerator.value.gpus

        gpu_driver_installation_config {
          gpu_driver_version = "DEFAULT"
        }
      }
    }

    # Pods get their own identity, never the node's.
    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    shielded_instance_config {
      enable_integrity_monitoring = true
      enable_secure_boot          = true
    }
  }

  lifecycle {
    ignore_changes = [initial_node_count]
  }
}
