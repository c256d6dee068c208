resource "azurerm_user_assigned_identity" "cluster" {
  name                = "${var.name}-cluster"
  location            = azurerm_resource_group.this.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = var.tags
}

# What the control plane does elsewhere: join nodes to the subnet, encrypt Secrets, attach encrypted disks.
resource "azurerm_role_assignment" "cluster" {
  for_each = {
    subnet = { scope = azurerm_subnet.nodes.id, role = "Network Contributor" }
    key    = { scope = azurerm_key_vault_key.this["secrets"].resource_versionless_id, role = "Key Vault Crypto User" }
    disks  = { scope = azurerm_disk_encryption_set.this.id, role = "Reader" }
  }

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.cluster.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_kubernetes_cluster" "this" {
  name                      = var.name
  location                  = azurerm_resource_group.this.location
  resource_group_name       = azurerm_resource_group.this.name
  dns_prefix                = var.name
  kubernetes_version        = var.kubernetes_version
  sku_tier                  = var.sku_tier
  automatic_upgrade_channel = "patch"
  node_os_upgrade_channel   = "NodeImage"
  disk_encryption_set_id    = azurerm_disk_encryption_set.this.id
  oidc_issuer_enabled       = true
  workload_identity_enabled = true
  azure_policy_enabled      = true
  run_command_enabled       = false
  tags                      = var.tags

  # Entra ID alone says who somebody is.
  local_account_disabled            = true
  role_based_access_control_enabled = true
  private_cluster_enabled           = length(var.authorized_networks) == 0

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled     = true
    admin_group_object_ids = var.administrators
    tenant_id              = data.azurerm_client_config.current.tenant_id
  }

  dynamic "api_server_access_profile" {
    for_each = length(var.authorized_networks) > 0 ? [var.authorized_networks] : []

    content {
      authorized_ip_ranges = api_server_access_profile.value
    }
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.cluster.id]
  }

  key_management_service {
    key_vault_key_id         = azurerm_key_vault_key.this["secrets"].id
    key_vault_network_access = "Public"
  }

  # Cilium enforces NetworkPolicies: the operator and each model have one.
  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
    load_balancer_sku   = "standard"
    pod_cidr            = var.pod_cidr
    service_cidr        = var.service_cidr
    dns_service_ip      = cidrhost(var.service_cidr, 10)
  }

  # Nodes go soon after nobody needs them.
  auto_scaler_profile {
    balance_similar_node_groups      = true
    expander                         = "least-waste"
    scale_down_unneeded              = "10m"
    skip_nodes_with_local_storage    = false # servers and workers have an emptyDir for /tmp
    skip_nodes_with_system_pods      = false # or one of CoreDNS would keep a node that has a GPU
    scale_down_utilization_threshold = "0.5"
  }

  default_node_pool {
    name                        = "system"
    vm_size                     = var.system_pool.vm_size
    auto_scaling_enabled        = true
    min_count                   = var.system_pool.min_nodes
    max_count                   = var.system_pool.max_nodes
    os_disk_size_gb             = var.system_pool.disk_gib
    zones                       = var.system_pool.zones
    vnet_subnet_id              = azurerm_subnet.nodes.id
    node_labels                 = { (local.pool_label) = "system" }
    temporary_name_for_rotation = "systemnew"
    tags                        = var.tags

    upgrade_settings {
      max_surge = "10%"
    }
  }

  lifecycle {
    ignore_changes = [default_node_pool[0].node_count]
  }

  depends_on = [azurerm_role_assignment.cluster]
}

# Azure RBAC decides in the cluster too.
resource "azurerm_role_assignment" "administrator" {
  for_each = var.administrators

  scope                = azurerm_kubernetes_cluster.this.id
  role_definition_name = "Azure Kubernetes Service RBAC Cluster Admin"
  principal_id         = each.value
}
