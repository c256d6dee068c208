# Datasets and models: a container of an account that is private, encrypted, versioned, and that knows no keys but identities.

resource "azurerm_storage_account" "this" {
  name                = coalesce(var.storage_account_name, "${substr(replace(var.name, "-", ""), 0, 16)}${local.suffix}")
  location            = azurerm_resource_group.this.location
  resource_group_name = azurerm_resource_group.this.name

  account_tier                      = "Standard"
  account_kind                      = "StorageV2"
  account_replication_type          = var.replication
  min_tls_version                   = "TLS1_2"
  https_traffic_only_enabled        = true
  allow_nested_items_to_be_public   = false
  shared_access_key_enabled         = false
  default_to_oauth_authentication   = true
  cross_tenant_replication_enabled  = false
  local_user_enabled                = false
  infrastructure_encryption_enabled = true
  public_network_access_enabled     = true # of the networks below
  tags                              = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.encryption.id]
  }

  customer_managed_key {
    key_vault_key_id          = azurerm_key_vault_key.this["bucket"].versionless_id
    user_assigned_identity_id = azurerm_user_assigned_identity.encryption.id
  }

  network_rules {
    default_action             = "Deny"
    bypass                     = ["AzureServices"]
    ip_rules                   = var.bucket_networks
    virtual_network_subnet_ids = [azurerm_subnet.nodes.id]
  }

  blob_properties {
    versioning_enabled = true

    delete_retention_policy {
      days = min(var.version_days, 365)
    }

    container_delete_retention_policy {
      days = min(var.version_days, 365)
    }
  }

  depends_on = [azurerm_role_assignment.encryption]
}

resource "azurerm_storage_container" "this" {
  name                  = "datasets"
  storage_account_id    = azurerm_storage_account.this.id
  container_access_type = "private"
}

# Versions that nobody asked for. Parts that a killed pod left go by themselves, after a week.
resource "azurerm_storage_management_policy" "this" {
  storage_account_id = azurerm_storage_account.this.id

  rule {
    name    = "old-versions"
    enabled = true

    filters {
      blob_types = ["blockBlob"]
    }

    actions {
      version {
        delete_after_days_since_creation = var.version_days
      }
    }
  }
}

resource "azurerm_management_lock" "data" {
  count = var.deletion_protection ? 1 : 0

  name       = "data"
  scope      = azurerm_storage_account.this.id
  lock_level = "CanNotDelete"
  notes      = "Datasets and models. The variable deletion_protection of their Terraform module removes this lock."
}

# Jobs and models: list, read, write and delete in the container. Service accounts of Kubernetes act as it.
resource "azurerm_user_assigned_identity" "workload" {
  name                = "${var.name}-jobs"
  location            = azurerm_resource_group.this.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = var.tags
}

resource "azurerm_role_assignment" "workload" {
  scope                = azurerm_storage_container.this.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.workload.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_federated_identity_credential" "workload" {
  for_each = { for workload in var.workloads : "${workload.namespace}-${workload.service_account}" => workload }

  name                = replace(each.key, ".", "-")
  resource_group_name = azurerm_resource_group.this.name
  parent_id           = azurerm_user_assigned_identity.workload.id
  audience            = ["api://AzureADTokenExchange"]
  issuer              = azurerm_kubernetes_cluster.this.oidc_issuer_url
  subject             = "system:serviceaccount:${each.value.namespace}:${each.value.service_account}"
}
