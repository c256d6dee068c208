provider "aws" {
  region = var.region

  default_tags {
    tags = { "managed-by" = "terraform", "part-of" = "textnlp" }
  }
}

# Whoever runs Terraform needs the `aws` program, which gets the token for the API server.
locals {
  cluster_login = {
    api_version = "client.authentication.k8s.io/v1"
    command     = "aws"
    args        = ["eks", "get-token", "--cluster-name", module.cluster.cluster_name, "--region", var.region]
  }
}

provider "kubernetes" {
  host                   = module.cluster.endpoint
  cluster_ca_certificate = module.cluster.ca_certificate

  exec {
    api_version = local.cluster_login.api_version
    command     = local.cluster_login.command
    args        = local.cluster_login.args
  }
}

provider "helm" {
  kubernetes = {
    host                   = module.cluster.endpoint
    cluster_ca_certificate = module.cluster.ca_certificate
    exec                   = local.cluster_login
  }
}
