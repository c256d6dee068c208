# Datasets and models: private, encrypted, versioned.

resource "google_storage_bucket" "this" {
  project                     = var.project
  name                        = coalesce(var.bucket_name, "${var.project}-${var.name}-datasets")
  location                    = var.region
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection
  labels                      = var.labels

  encryption {
    default_kms_key_name = google_kms_crypto_key.this["bucket"].id
  }

  versioning {
    enabled = true
  }

  # Versions that nobody asked for, and parts that a killed pod left.
  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      days_since_noncurrent_time = var.version_days
      with_state                 = "ARCHIVED"
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = 7
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.this]
}

# Jobs and models: list, read, write and delete objects. Service accounts of Kubernetes act as it.
resource "google_service_account" "workload" {
  project      = var.project
  account_id   = "${var.name}-jobs"
  display_name = "Jobs and models of ${var.name}"
  depends_on   = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "workload" {
  bucket = google_storage_bucket.this.name
  role   = "roles/storage.objectUser"
  member = google_service_account.workload.member
}

resource "google_service_account_iam_member" "workload" {
  for_each = { for workload in var.workloads : "${workload.namespace}/${workload.service_account}" => workload }

  service_account_id = google_service_account.workload.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${each.key}]"
  depends_on         = [google_container_cluster.this] # the pool of identities comes with the project's first cluster
}
