# Three keys, so that each can be watched, rotated and withdrawn by itself.

data "azurerm_client_config" "current" {}

locals {
  # Names that no other customer of Azure may have.
  suffix = substr(sha256("${data.azurerm_client_config.current.subscription_id}/${var.location}/${var.name}"), 0, 8)
}

# Open to the internet for those that Entra ID knows: the control plane, which encrypts Secrets with a key, is in no network of ours, and
# Azure lets no firewall stand between the two.
resource "azurerm_key_vault" "this" {
  name                          = "kv${replace(substr(var.name, 0, 14), "-", "")}${local.suffix}"
  location                      = azurerm_resource_group.this.location
  resource_group_name           = azurerm_resource_group.this.name
  tenant_id                     = data.azurerm_client_config.current.tenant_id
  sku_name                      = "standard"
  rbac_authorization_enabled    = true
  public_network_access_enabled = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = 90
  tags                          = var.tags
}

# Whoever applies this makes the keys.
resource "azurerm_role_assignment" "key_officer" {
  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Crypto Officer"
  principal_id         = data.azurerm_client_config.current.object_id
}

resource "azurerm_key_vault_key" "this" {
  for_each = toset(["bucket", "disks", "secrets"])

  name         = each.value
  key_vault_id = azurerm_key_vault.this.id
  key_type     = "RSA"
  key_size     = 3072
  key_opts     = ["decrypt", "encrypt", "sign", "unwrapKey", "verify", "wrapKey"]
  tags         = var.tags

  # The cluster names a version of its key, and is told of a new one by the next apply; the others follow by themselves.
  rotation_policy {
    expire_after         = "P2Y"
    notify_before_expiry = "P30D"

    automatic {
      time_after_creation = "P1Y"
    }
  }

  depends_on = [azurerm_role_assignment.key_officer]
}

# Who uses the keys of disks and of the bucket.
resource "azurerm_user_assigned_identity" "encryption" {
  name                = "${var.name}-encryption"
  location            = azurerm_resource_group.this.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = var.tags
}

resource "azurerm_role_assignment" "encryption" {
  for_each = toset(["bucket", "disks"])

  scope                = azurerm_key_vault_key.this[each.value].resource_versionless_id
  role_definition_name = "Key Vault Crypto Service Encryption User"
  principal_id         = azurerm_user_assigned_identity.encryption.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_disk_encryption_set" "this" {
  name                      = var.name
  location                  = azurerm_resource_group.this.location
  resource_group_name       = azurerm_resource_group.this.name
  key_vault_key_id          = azurerm_key_vault_key.this["disks"].versionless_id
  auto_key_rotation_enabled = true
  tags                      = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.encryption.id]
  }

  depends_on = [azurerm_role_assignment.encryption]
}
