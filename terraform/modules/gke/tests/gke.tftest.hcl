# Without Google Cloud: `terraform test` plans and applies against a mock.

mock_provider "google" {
  source = "../../mocks/google"
}

variables {
  name    = "nlp"
  project = "nlp-platform"
  region  = "europe-west4"
}

run "defaults_are_private_and_from_zero" {
  assert {
    condition = (
      google_container_cluster.this.private_cluster_config[0].enable_private_nodes &&
      google_container_cluster.this.private_cluster_config[0].enable_private_endpoint &&
      length(google_container_cluster.this.master_authorized_networks_config[0].cidr_blocks) == 0
    )
    error_message = "Neither nodes nor the API server may be on the internet unless networks are named."
  }

  assert {
    condition     = toset(keys(google_container_node_pool.this)) == toset(["cpu", "system"])
    error_message = "There must be no GPU pool unless one is asked for."
  }

  assert {
    condition = (
      google_container_node_pool.this["cpu"].autoscaling[0].total_min_node_count == 0 && google_container_node_pool.this["cpu"].initial_node_count == 0 &&
      google_container_node_pool.this["system"].initial_node_count == 1
    )
    error_message = "The CPU pool must begin with no node, the system's with some."
  }

  assert {
    condition     = alltrue([for pool in google_container_node_pool.this : length(pool.node_config[0].taint) == 0 && length(pool.node_config[0].guest_accelerator) == 0])
    error_message = "Jobs and models on CPUs bring no toleration: their pools must have no taint, and no GPU."
  }

  assert {
    condition     = alltrue([for name, pool in google_container_node_pool.this : pool.node_config[0].labels["textnlp.dev/pool"] == name])
    error_message = "Every node must say which pool it is of."
  }

  assert {
    condition     = google_container_cluster.this.deletion_protection && !google_storage_bucket.this.force_destroy
    error_message = "The cluster and its data must be protected unless somebody says otherwise."
  }

  assert {
    condition     = google_storage_bucket.this.public_access_prevention == "enforced" && google_storage_bucket.this.versioning[0].enabled
    error_message = "The bucket must be private and versioned."
  }

  assert {
    condition     = output.object_store == { uri = "gs://nlp-platform-nlp-datasets" }
    error_message = "The output must name the bucket as a manifest does."
  }

  assert {
    condition     = output.cpu_pod == { nodeSelector = { "textnlp.dev/pool" = "cpu" } } && output.gpu_pod == null && output.gpu_taint == null
    error_message = "The outputs must say what pods need on the pools that there are."
  }

  assert {
    condition = (
      google_service_account_iam_member.workload["datasets/textnlp"].member == "serviceAccount:nlp-platform.svc.id.goog[datasets/textnlp]" &&
      output.service_account_annotations["iam.gke.io/gcp-service-account"] == "nlp-jobs@nlp-platform.iam.gserviceaccount.com"
    )
    error_message = "The default service account must be able to act as the bucket's user."
  }

  assert {
    condition = toset(concat([google_compute_subnetwork.nodes.ip_cidr_range], google_compute_subnetwork.nodes.secondary_ip_range[*].ip_cidr_range)) == toset([
      "10.64.0.0/18", "10.64.128.0/17", "10.64.64.0/19",
    ])
    error_message = "Nodes, pods and Services must have ranges that do not overlap."
  }
}

run "a_gpu_pool_is_tainted_and_in_zones_that_have_gpus" {
  variables {
    gpu_pool = { zones = ["europe-west4-a"], gpus = 1, spot = true }
  }

  assert {
    condition = (
      google_container_node_pool.this["gpu"].autoscaling[0].total_min_node_count == 0 && google_container_node_pool.this["gpu"].node_config[0].spot &&
      google_container_node_pool.this["gpu"].node_locations == toset(["europe-west4-a"])
    )
    error_message = "The GPU pool must begin with no node, in the named zones, of spot machines if asked."
  }

  assert {
    condition = (
      one(google_container_node_pool.this["gpu"].node_config[0].taint).key == "nvidia.com/gpu" &&
      one(google_container_node_pool.this["gpu"].node_config[0].taint).value == "present" &&
      one(google_container_node_pool.this["gpu"].node_config[0].taint).effect == "NO_SCHEDULE"
    )
    error_message = "GPU nodes must have the taint that models with a GPU tolerate."
  }

  assert {
    condition     = one(google_container_node_pool.this["gpu"].node_config[0].guest_accelerator).type == "nvidia-l4"
    error_message = "GPU nodes must have the GPU."
  }

  assert {
    condition     = output.gpu_pod.nodeSelector == { "textnlp.dev/pool" = google_container_node_pool.this["gpu"].node_config[0].labels["textnlp.dev/pool"] } && output.gpu_taint == "nvidia.com/gpu=present:NoSchedule"
    error_message = "The outputs must agree with the nodes."
  }
}

run "named_networks_reach_the_api_server_and_no_other" {
  variables {
    authorized_networks = ["203.0.113.0/24"]
  }

  assert {
    condition = (
      !google_container_cluster.this.private_cluster_config[0].enable_private_endpoint &&
      one(google_container_cluster.this.master_authorized_networks_config[0].cidr_blocks).cidr_block == "203.0.113.0/24"
    )
    error_message = "The API server must be reached from the named networks alone."
  }
}

run "without_protection_all_can_go" {
  variables {
    deletion_protection = false
  }

  assert {
    condition     = !google_container_cluster.this.deletion_protection && google_storage_bucket.this.force_destroy
    error_message = "Whoever takes the protection away must be able to destroy."
  }
}

run "the_whole_internet_is_no_network" {
  command = plan

  variables {
    authorized_networks = ["0.0.0.0/0"]
  }

  expect_failures = [var.authorized_networks]
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    name               = "NLP"
    project            = "p"
    region             = "Europe"
    release_channel    = "LATEST"
    kubernetes_version = "1.30"
    network_cidr       = "10.0.0.0/20"
    system_pool        = { min_nodes = 0 }
    cpu_pool           = { min_nodes = 5, max_nodes = 4 }
    gpu_pool           = { gpus = 3 }
    workloads          = [{ namespace = "Data", service_account = "x" }]
    bucket_name        = "Data"
    key_ring           = "a ring"
    version_days       = 0
  }

  expect_failures = [
    var.name, var.project, var.region, var.release_channel, var.kubernetes_version, var.network_cidr, var.system_pool, var.cpu_pool,
    var.gpu_pool, var.workloads, var.bucket_name, var.key_ring, var.version_days,
  ]
}
