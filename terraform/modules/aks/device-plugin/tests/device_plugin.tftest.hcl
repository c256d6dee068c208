# Without a cluster: `terraform test` plans and applies against mocks.

mock_provider "helm" {
  source = "../../../mocks/helm"
}

variables {
  node_labels = { "nvidia.com/gpu.present" = "true" }
}

run "the_plugin_runs_on_gpu_nodes_alone" {
  assert {
    condition     = yamldecode(helm_release.this.values[0]).nodeSelector == { "nvidia.com/gpu.present" = "true" }
    error_message = "The plugin must select the nodes with GPUs."
  }

  assert {
    condition     = yamldecode(helm_release.this.values[0]).tolerations[0].key == "nvidia.com/gpu"
    error_message = "The plugin must tolerate the taint of GPU nodes."
  }
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    node_labels   = {}
    chart         = " "
    repository    = "http://charts.example.com"
    chart_version = "0"
  }

  expect_failures = [var.node_labels, var.chart, var.repository, var.chart_version]
}
