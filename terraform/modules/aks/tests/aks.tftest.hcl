# Without Azure: `terraform test` plans and applies against a mock.

mock_provider "azurerm" {
  source = "../../mocks/azurerm"
}

variables {
  name           = "nlp"
  location       = "westeurope"
  administrators = ["00000000-0000-0000-0000-000000000006"]
}

run "defaults_are_private_and_from_zero" {
  assert {
    condition     = azurerm_kubernetes_cluster.this.private_cluster_enabled && azurerm_kubernetes_cluster.this.local_account_disabled
    error_message = "The API server must not be on the internet unless networks are named, and there must be no local account."
  }

  assert {
    condition     = keys(azurerm_kubernetes_cluster_node_pool.this) == ["cpu"] && azurerm_kubernetes_cluster_node_pool.this["cpu"].min_count == 0
    error_message = "The CPU pool must be from zero, and there must be no GPU pool unless one is asked for."
  }

  assert {
    condition     = length(azurerm_kubernetes_cluster_node_pool.this["cpu"].node_taints) == 0
    error_message = "Jobs and models on CPUs bring no toleration: their pool must have no taint."
  }

  assert {
    condition = (
      azurerm_kubernetes_cluster_node_pool.this["cpu"].node_labels == tomap({ "textnlp.dev/pool" = "cpu" }) &&
      azurerm_kubernetes_cluster.this.default_node_pool[0].node_labels == tomap({ "textnlp.dev/pool" = "system" })
    )
    error_message = "Every node must say which pool it is of."
  }

  assert {
    condition = (
      !azurerm_storage_account.this.allow_nested_items_to_be_public && !azurerm_storage_account.this.shared_access_key_enabled &&
      azurerm_storage_account.this.network_rules[0].default_action == "Deny" && azurerm_storage_account.this.blob_properties[0].versioning_enabled
    )
    error_message = "The storage account must be private, without keys, and versioned."
  }

  assert {
    condition     = length(azurerm_management_lock.data) == 1
    error_message = "The data must be protected unless somebody says otherwise."
  }

  assert {
    condition = output.object_store == { uri = "az://datasets" } && output.cpu_pod == {
      nodeSelector = { "textnlp.dev/pool" = "cpu" }
      labels       = { "azure.workload.identity/use" = "true" }
      env          = [{ name = "AZURE_STORAGE_ACCOUNT_NAME", value = azurerm_storage_account.this.name }]
    }
    error_message = "The outputs must say what pods need for the bucket and the pool."
  }

  assert {
    condition     = output.gpu_pod == null && output.gpu_taint == null
    error_message = "Without a GPU pool there is nothing to say of it."
  }

  assert {
    condition = (
      azurerm_federated_identity_credential.workload["datasets-textnlp"].subject == "system:serviceaccount:datasets:textnlp" &&
      output.service_account_annotations["azure.workload.identity/client-id"] == "00000000-0000-0000-0000-000000000004"
    )
    error_message = "The default service account must be able to act as the bucket's user."
  }

  assert {
    condition     = can(regex("^[a-z0-9]{3,24}$", azurerm_storage_account.this.name)) && can(regex("^[a-z][a-z0-9-]{2,23}$", azurerm_key_vault.this.name))
    error_message = "The made-up names must be such that Azure allows."
  }
}

run "the_longest_name_still_makes_names_that_azure_allows" {
  variables {
    name = "a-very-long-name-x20"
  }

  assert {
    condition     = can(regex("^[a-z0-9]{3,24}$", azurerm_storage_account.this.name)) && can(regex("^[a-z][a-z0-9-]{2,23}$", azurerm_key_vault.this.name))
    error_message = "The made-up names must be such that Azure allows."
  }
}

run "a_gpu_pool_is_tainted_and_selected_by_the_device_plugin" {
  variables {
    gpu_pool = {}
  }

  assert {
    condition     = azurerm_kubernetes_cluster_node_pool.this["gpu"].min_count == 0 && azurerm_kubernetes_cluster_node_pool.this["gpu"].gpu_driver == "Install"
    error_message = "The GPU pool must be from zero, with NVIDIA's driver."
  }

  assert {
    condition     = azurerm_kubernetes_cluster_node_pool.this["gpu"].node_taints == tolist([output.gpu_taint]) && output.gpu_taint == "nvidia.com/gpu=present:NoSchedule"
    error_message = "GPU nodes must have the taint that models with a GPU tolerate."
  }

  assert {
    condition = azurerm_kubernetes_cluster_node_pool.this["gpu"].node_labels == tomap(merge(
      { for key, value in output.gpu_pod.nodeSelector : key => value }, { for key, value in output.gpu_labels : key => value },
    ))
    error_message = "The outputs must agree with the nodes."
  }
}

run "spot_nodes_are_tainted_by_azure_and_tolerated" {
  variables {
    cpu_pool = { spot = true }
  }

  assert {
    condition = (
      azurerm_kubernetes_cluster_node_pool.this["cpu"].priority == "Spot" && azurerm_kubernetes_cluster_node_pool.this["cpu"].eviction_policy == "Delete" &&
      azurerm_kubernetes_cluster_node_pool.this["cpu"].node_taints == tolist(["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"]) &&
      length(azurerm_kubernetes_cluster_node_pool.this["cpu"].upgrade_settings) == 0
    )
    error_message = "A spot pool must have Azure's own taint, or every plan would change it, and no surge."
  }

  assert {
    condition     = "${output.cpu_pod.tolerations[0].key}=${output.cpu_pod.tolerations[0].value}:${output.cpu_pod.tolerations[0].effect}" == one(azurerm_kubernetes_cluster_node_pool.this["cpu"].node_taints)
    error_message = "Pods must tolerate what the nodes have."
  }
}

run "named_networks_reach_the_api_server_and_no_other" {
  variables {
    authorized_networks = ["203.0.113.0/24"]
  }

  assert {
    condition = (
      !azurerm_kubernetes_cluster.this.private_cluster_enabled &&
      azurerm_kubernetes_cluster.this.api_server_access_profile[0].authorized_ip_ranges == toset(["203.0.113.0/24"])
    )
    error_message = "The API server must be reached from the named networks alone."
  }
}

run "without_protection_there_is_no_lock" {
  variables {
    deletion_protection = false
  }

  assert {
    condition     = length(azurerm_management_lock.data) == 0
    error_message = "Whoever takes the protection away must be able to delete."
  }
}

run "the_whole_internet_is_no_network" {
  command = plan

  variables {
    authorized_networks = ["0.0.0.0/0"]
    bucket_networks     = ["0.0.0.0/0"]
  }

  expect_failures = [var.authorized_networks, var.bucket_networks]
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    name                 = "NLP"
    location             = "West Europe"
    kubernetes_version   = "1.30"
    sku_tier             = "Gold"
    administrators       = []
    network_cidr         = "10.0.0.0/24"
    pod_cidr             = "pods"
    service_cidr         = "services"
    system_pool          = { min_nodes = 0 }
    cpu_pool             = { min_nodes = 5, max_nodes = 4 }
    gpu_pool             = { max_nodes = 0 }
    workloads            = [{ namespace = "Data", service_account = "x" }]
    storage_account_name = "Data-Sets"
    replication          = "RAID"
    version_days         = 0
  }

  expect_failures = [
    var.name, var.location, var.kubernetes_version, var.sku_tier, var.administrators, var.network_cidr, var.pod_cidr, var.service_cidr,
    var.system_pool, var.cpu_pool, var.gpu_pool, var.workloads, var.storage_account_name, var.replication, var.version_days,
  ]
}
