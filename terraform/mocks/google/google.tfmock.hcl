# What a mock of Google Cloud answers where a made-up text will not do: values of the form that the provider checks.

mock_data "google_project" {
  defaults = { number = "123456789012" }
}

mock_data "google_storage_project_service_account" {
  defaults = { email_address = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com" }
}

mock_resource "google_container_cluster" {
  defaults = {
    id          = "projects/nlp-platform/locations/europe-west4/clusters/nlp"
    endpoint    = "10.64.0.2"
    master_auth = { cluster_ca_certificate = "LS0tCg==" }
  }
}

mock_resource "google_compute_network" {
  defaults = { id = "projects/nlp-platform/global/networks/nlp" }
}

mock_resource "google_compute_subnetwork" {
  defaults = { id = "projects/nlp-platform/regions/europe-west4/subnetworks/nlp-nodes" }
}

mock_resource "google_kms_key_ring" {
  defaults = { id = "projects/nlp-platform/locations/europe-west4/keyRings/nlp" }
}

mock_resource "google_kms_crypto_key" {
  defaults = { id = "projects/nlp-platform/locations/europe-west4/keyRings/nlp/cryptoKeys/mocked" }
}

mock_resource "google_service_account" {
  defaults = {
    name   = "projects/nlp-platform/serviceAccounts/nlp-jobs@nlp-platform.iam.gserviceaccount.com"
    email  = "nlp-jobs@nlp-platform.iam.gserviceaccount.com"
    member = "serviceAccount:nlp-jobs@nlp-platform.iam.gserviceaccount.com"
  }
}
