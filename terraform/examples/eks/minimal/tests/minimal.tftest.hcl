# Without a cloud: `terraform test` plans and applies against mocks.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

mock_provider "helm" {
  source = "../../../mocks/helm"
}

mock_provider "kubernetes" {}

variables {
  authorized_networks = ["203.0.113.0/24"]
  registry            = "registry.example.com/nlp"
  region              = "eu-central-1"
}

run "the_manifests_are_for_this_cluster" {
  assert {
    condition     = [for text in split("---\n", output.manifests) : yamldecode(text).kind] == ["ModelDeployment", "ConfigMap", "GenerationJob"]
    error_message = "The manifests must be a model, its records and a job."
  }

  assert {
    condition     = alltrue([for text in split("---\n", output.manifests) : yamldecode(text).metadata.namespace == "datasets"])
    error_message = "All must lie in the namespace whose account may use the bucket."
  }

  assert {
    condition     = yamldecode(split("---\n", output.manifests)[2]).spec.output.destination.objectStore.uri == "s3://textnlp-datasets-123456789012/first-rows/"
    error_message = "The job must write to a prefix of its own in the bucket."
  }

  assert {
    condition = alltrue([
      for pod in [yamldecode(split("---\n", output.manifests)[0]).spec.pod, yamldecode(split("---\n", output.manifests)[2]).spec.execution.pod] :
      pod.serviceAccountName == "textnlp"
    ])
    error_message = "Model and job must run as the account that may use the bucket."
  }

  assert {
    condition = (
      yamldecode(split("---\n", output.manifests)[0]).spec.pod.nodeSelector["textnlp.dev/pool"] == "cpu" &&
      yamldecode(split("---\n", output.manifests)[2]).spec.execution.pod.nodeSelector["textnlp.dev/pool"] == "cpu"
    )
    error_message = "The model must select CPU nodes, the job CPU nodes."
  }

  assert {
    condition     = yamldecode(split("---\n", output.manifests)[0]).spec.cache.storageClassName == "textnlp"
    error_message = "The model's cache must lie on an encrypted disk."
  }
}
