# What a mock of Azure answers where a made-up text will not do: values of the form that the provider checks.

mock_data "azurerm_client_config" {
  defaults = {
    object_id       = "00000000-0000-0000-0000-000000000001"
    subscription_id = "00000000-0000-0000-0000-000000000002"
    tenant_id       = "00000000-0000-0000-0000-000000000003"
  }
}

mock_resource "azurerm_disk_encryption_set" {
  defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/nlp/providers/Microsoft.Compute/diskEncryptionSets/nlp" }
}

mock_resource "azurerm_key_vault" {
  defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/nlp/providers/Microsoft.KeyVault/vaults/kvnlp" }
}

mock_resource "azurerm_key_vault_key" {
  defaults = {
    id                      = "https://kvnlp.vault.azure.net/keys/mocked/0123456789abcdef0123456789abcdef"
    versionless_id          = "https://kvnlp.vault.azure.net/keys/mocked"
    resource_versionless_id = "/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/nlp/providers/Microsoft.KeyVault/vaults/kvnlp/keys/mocked"
  }
}

mock_resource "azurerm_kubernetes_cluster" {
  defaults = {
    id              = "/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/nlp/providers/Microsoft.ContainerService/managedClusters/nlp"
    oidc_issuer_url = "https://oidc.example.com/nlp"
    kube_config = [{
      host                   = "https://nlp.example.com"
      cluster_ca_certificate = "LS0tCg=="
      client_certificate     = ""
      client_key             = ""
      password               = ""
      username               = ""
    }]
  }
}

mock_resource "azurerm_storage_account" {
  defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/nlp/providers/Microsoft.Storage/storageAccounts/nlp" }
}

mock_resource "azurerm_storage_container" {
  defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/nlp/providers/Microsoft.Storage/storageAccounts/nlp/blobServices/default/containers/datasets" }
}

mock_resource "azurerm_subnet" {
  defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/nlp/providers/Microsoft.Network/virtualNetworks/nlp/subnets/nodes" }
}

mock_resource "azurerm_user_assigned_identity" {
  defaults = {
    id           = "/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/nlp/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mocked"
    client_id    = "00000000-0000-0000-0000-000000000004"
    principal_id = "00000000-0000-0000-0000-000000000005"
  }
}
