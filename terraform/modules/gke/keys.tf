# Three keys, so that each can be watched, rotated and withdrawn by itself.

data "google_project" "this" {
  project_id = var.project
  depends_on = [google_project_service.this]
}

data "google_storage_project_service_account" "this" {
  project    = var.project
  depends_on = [google_project_service.this]
}

locals {
  # The services of Google that use a key on behalf of the project.
  key_users = {
    secrets = "service-${data.google_project.this.number}@container-engine-robot.iam.gserviceaccount.com"
    disks   = "service-${data.google_project.this.number}@compute-system.iam.gserviceaccount.com"
    bucket  = data.google_storage_project_service_account.this.email_address
  }
}

resource "google_kms_key_ring" "this" {
  project    = var.project
  name       = coalesce(var.key_ring, var.name)
  location   = var.region
  depends_on = [google_project_service.this]
}

resource "google_kms_crypto_key" "this" {
  for_each = toset(["bucket", "disks", "secrets"])

  name                       = each.value
  key_ring                   = google_kms_key_ring.this.id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = "7776000s" # 90 days
  destroy_scheduled_duration = "2592000s" # 30 days, in which it can be restored
  labels                     = var.labels
}

resource "google_kms_crypto_key_iam_member" "this" {
  for_each = local.key_users

  crypto_key_id = google_kms_crypto_key.this[each.key].id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${each.value}"
  depends_on    = [google_project_service.this] # the services' accounts come with them
}
