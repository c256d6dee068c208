provider "google" {
  project = var.project
  region  = var.region
}

# Whoever runs Terraform needs the program `gke-gcloud-auth-plugin`, which gets the token for the API server.
locals {
  cluster_login = {
    api_version = "client.authentication.k8s.io/v1"
    command     = "gke-gcloud-auth-plugin"
  }
}

provider "kubernetes" {
  host                   = module.cluster.endpoint
  cluster_ca_certificate = module.cluster.ca_certificate

  exec {
    api_version = local.cluster_login.api_version
    command     = local.cluster_login.command
  }
}

provider "helm" {
  kubernetes = {
    host                   = module.cluster.endpoint
    cluster_ca_certificate = module.cluster.ca_certificate
    exec                   = local.cluster_login
  }
}
