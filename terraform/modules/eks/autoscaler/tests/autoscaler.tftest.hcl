# Without a cluster: `terraform test` plans and applies against mocks.

mock_provider "aws" {
  source = "../../../mocks/aws"
}

mock_provider "helm" {
  source = "../../../mocks/helm"
}

variables {
  cluster_name = "nlp"
  role_arn     = "arn:aws:iam::123456789012:role/nlp-autoscaler"
}

run "the_release_uses_the_account_that_has_the_role" {
  assert {
    condition = (
      aws_eks_pod_identity_association.this.namespace == helm_release.this.namespace &&
      aws_eks_pod_identity_association.this.service_account == yamldecode(helm_release.this.values[0]).rbac.serviceAccount.name
    )
    error_message = "The autoscaler's account must be the one that has the role."
  }

  assert {
    condition     = yamldecode(helm_release.this.values[0]).autoDiscovery.clusterName == "nlp" && yamldecode(helm_release.this.values[0]).awsRegion == "eu-central-1"
    error_message = "The autoscaler must look for this cluster's groups."
  }
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    cluster_name  = "a b"
    role_arn      = "autoscaler"
    chart         = " "
    repository    = "http://charts.example.com"
    chart_version = "9"
    idle_minutes  = 0
  }

  expect_failures = [var.cluster_name, var.role_arn, var.chart, var.repository, var.chart_version, var.idle_minutes]
}
