# Without a cluster: `terraform test` plans and applies against mocks.

mock_provider "helm" {
  source = "../../mocks/helm"
}

mock_provider "kubernetes" {}

variables {
  chart = "../../../charts/textnlp-operator"
}

run "defaults" {
  assert {
    condition     = kubernetes_namespace_v1.operator.metadata[0].labels["pod-security.kubernetes.io/enforce"] == "restricted"
    error_message = "The operator's namespace must enforce the restricted standard."
  }

  assert {
    condition = (
      helm_release.operator.namespace == kubernetes_namespace_v1.operator.metadata[0].name && !helm_release.operator.create_namespace &&
      helm_release.operator.atomic
    )
    error_message = "The release must lie in the namespace that is made here, and be rolled back when it fails."
  }

  assert {
    condition = yamldecode(helm_release.operator.values[0]) == {
      image            = {}
      workloadImage    = {}
      imagePullSecrets = []
      replicas         = 2
      watchNamespaces  = []
      nodeSelector     = { "textnlp.dev/pool" = "system" }
      servers          = { access = { kubernetes = { enabled = true } } }
      serviceMonitor   = { enabled = false }
    }
    error_message = "The values must leave to the chart what nobody set."
  }

  assert {
    condition     = length(kubernetes_storage_class_v1.this) == 0 && output.storage_class_name == null && output.service_accounts == {}
    error_message = "Nothing must be made that nobody asked for."
  }

  assert {
    condition     = output.release == { name = "textnlp-operator", version = "0.1.0" }
    error_message = "The output must name the release."
  }
}

run "from_a_registry_with_everything_set" {
  variables {
    namespace             = "nlp"
    release               = "nlp-operator"
    chart                 = "oci://registry.example.com/charts/textnlp-operator"
    chart_version         = "0.1.0"
    image                 = { registry = "registry.example.com/nlp", digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
    workload_image        = { registry = "registry.example.com/nlp", tag = "0.1.1" }
    image_pull_secrets    = ["registry"]
    replicas              = 3
    watch_workspaces_only = true
    node_selector         = {}
    server_access         = false
    service_monitor       = true
    values                = { logLevel = "debug" }
    workspaces = {
      team-a = { annotations = { "iam.gke.io/gcp-service-account" = "a@example.com" }, labels = { team = "a", "pod-security.kubernetes.io/enforce" = "privileged" } }
      team-b = { service_account = "writer" }
    }
    storage_class = { provisioner = "pd.csi.storage.gke.io", parameters = { type = "pd-balanced" } }
  }

  assert {
    condition     = helm_release.operator.chart == "oci://registry.example.com/charts/textnlp-operator" && helm_release.operator.version == "0.1.0"
    error_message = "The chart must come from the registry, in the named version."
  }

  assert {
    condition = yamldecode(helm_release.operator.values[0]) == {
      image            = { registry = "registry.example.com/nlp", digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
      workloadImage    = { registry = "registry.example.com/nlp", tag = "0.1.1" }
      imagePullSecrets = [{ name = "registry" }]
      replicas         = 3
      watchNamespaces  = ["team-a", "team-b"]
      nodeSelector     = {}
      servers          = { access = { kubernetes = { enabled = false } } }
      serviceMonitor   = { enabled = true }
    }
    error_message = "What is set must reach the chart."
  }

  assert {
    condition     = yamldecode(helm_release.operator.values[1]) == { logLevel = "debug" }
    error_message = "Further values must come last, as the last win."
  }

  assert {
    condition     = kubernetes_namespace_v1.workspace["team-a"].metadata[0].labels == tomap({ team = "a", "pod-security.kubernetes.io/enforce" = "restricted", "pod-security.kubernetes.io/audit" = "restricted", "pod-security.kubernetes.io/warn" = "restricted" })
    error_message = "A workspace must enforce the restricted standard, whatever its own labels say."
  }

  assert {
    condition = (
      kubernetes_service_account_v1.workspace["team-a"].metadata[0].annotations == tomap({ "iam.gke.io/gcp-service-account" = "a@example.com" }) &&
      output.service_accounts == { team-a = "textnlp", team-b = "writer" }
    )
    error_message = "A workspace must have its service account, with the cloud's annotations."
  }

  assert {
    condition     = kubernetes_storage_class_v1.this[0].volume_binding_mode == "WaitForFirstConsumer" && output.storage_class_name == "textnlp"
    error_message = "The storage class must wait for the pod, and be named by the output."
  }
}

run "a_registry_needs_a_version" {
  command = plan

  variables {
    chart = "oci://registry.example.com/charts/textnlp-operator"
  }

  expect_failures = [var.chart_version]
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    namespace             = "TextNLP"
    release               = "Operator"
    chart                 = "textnlp-operator"
    image                 = { digest = "latest" }
    workload_image        = { digest = "latest" }
    image_pull_secrets    = ["a b"]
    replicas              = 0
    watch_workspaces_only = true
    values                = "logLevel=debug"
    storage_class         = { name = "A", provisioner = "x" }
    timeout_seconds       = 5
  }

  expect_failures = [
    var.namespace, var.release, var.chart, var.image, var.workload_image, var.image_pull_secrets, var.replicas, var.watch_workspaces_only,
    var.values, var.storage_class, var.timeout_seconds,
  ]
}

run "workspaces_have_names_that_kubernetes_allows" {
  command = plan

  variables {
    workspaces = { Team = {} }
  }

  expect_failures = [var.workspaces]
}
