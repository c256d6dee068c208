# Without AWS: `terraform test` plans and applies against a mock.

mock_provider "aws" {
  source = "../../mocks/aws"
}

variables {
  name = "nlp"
}

run "defaults_are_private_and_from_zero" {
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "The API server must not be on the internet unless networks are named."
  }

  assert {
    condition     = toset(keys(aws_eks_node_group.this)) == toset(["cpu", "system"])
    error_message = "There must be no GPU pool unless one is asked for."
  }

  assert {
    condition     = aws_eks_node_group.this["cpu"].scaling_config[0].min_size == 0 && aws_eks_node_group.this["cpu"].scaling_config[0].desired_size == 0
    error_message = "The CPU pool must begin with no node."
  }

  assert {
    condition     = alltrue([for group in aws_eks_node_group.this : length(group.taint) == 0])
    error_message = "Jobs and models on CPUs bring no toleration: their pools must have no taint."
  }

  assert {
    condition     = alltrue([for name, group in aws_eks_node_group.this : group.labels["textnlp.dev/pool"] == name])
    error_message = "Every node must say which pool it is of."
  }

  assert {
    condition     = aws_eks_cluster.this.deletion_protection && !aws_s3_bucket.this.force_destroy
    error_message = "The cluster and its data must be protected unless somebody says otherwise."
  }

  assert {
    condition     = aws_s3_bucket.this.bucket == "nlp-datasets-123456789012" && output.object_store == { uri = "s3://nlp-datasets-123456789012", region = "eu-central-1" }
    error_message = "The output must name the bucket as a manifest does."
  }

  assert {
    condition     = output.cpu_pod == { nodeSelector = { "textnlp.dev/pool" = "cpu" } } && output.gpu_pod == null && output.gpu_taint == null
    error_message = "The outputs must say what pods need on the pools that there are."
  }

  assert {
    condition     = keys(aws_eks_pod_identity_association.workload) == ["datasets/textnlp"]
    error_message = "The default service account must have the bucket's role."
  }

  assert {
    condition     = length(distinct([for subnet in concat(values(aws_subnet.private), values(aws_subnet.public)) : subnet.cidr_block])) == 6
    error_message = "Three zones must have six subnets."
  }
}

run "a_gpu_pool_is_tainted_and_known_to_the_autoscaler_at_zero" {
  variables {
    gpu_pool = { instance_types = ["g6.2xlarge"], spot = true }
  }

  assert {
    condition     = aws_eks_node_group.this["gpu"].scaling_config[0].min_size == 0 && aws_eks_node_group.this["gpu"].capacity_type == "SPOT"
    error_message = "The GPU pool must begin with no node, of spot capacity if asked."
  }

  assert {
    condition     = one(aws_eks_node_group.this["gpu"].taint) == { key = "nvidia.com/gpu", value = "present", effect = "NO_SCHEDULE" }
    error_message = "GPU nodes must have the taint that models with a GPU tolerate."
  }

  assert {
    condition     = output.gpu_pod.nodeSelector == { "textnlp.dev/pool" = aws_eks_node_group.this["gpu"].labels["textnlp.dev/pool"] } && output.gpu_taint == "nvidia.com/gpu=present:NoSchedule"
    error_message = "The outputs must agree with the nodes."
  }

  assert {
    condition = (
      one(aws_autoscaling_group_tag.label["gpu"].tag).key == "k8s.io/cluster-autoscaler/node-template/label/textnlp.dev/pool" &&
      one(aws_autoscaling_group_tag.taint["gpu"].tag).key == "k8s.io/cluster-autoscaler/node-template/taint/nvidia.com/gpu" &&
      one(aws_autoscaling_group_tag.taint["gpu"].tag).value == "present:NoSchedule"
    )
    error_message = "The autoscaler must learn label and taint from the group, as there is no node."
  }
}

run "named_networks_reach_the_api_server_and_no_other" {
  variables {
    authorized_networks = ["203.0.113.0/24"]
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["203.0.113.0/24"])
    error_message = "The API server must be reached from the named networks alone."
  }
}

run "without_protection_all_can_go" {
  variables {
    deletion_protection = false
  }

  assert {
    condition     = !aws_eks_cluster.this.deletion_protection && aws_s3_bucket.this.force_destroy
    error_message = "Whoever takes the protection away must be able to destroy."
  }
}

run "the_whole_internet_is_no_network" {
  command = plan

  variables {
    authorized_networks = ["0.0.0.0/0"]
  }

  expect_failures = [var.authorized_networks]
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    name               = "NLP"
    kubernetes_version = "1.30"
    administrators     = ["root"]
    network_cidr       = "10.0.0.0/24"
    zones              = 1
    system_pool        = { min_nodes = 0 }
    cpu_pool           = { min_nodes = 5, max_nodes = 4 }
    gpu_pool           = { max_nodes = 0 }
    workloads          = [{ namespace = "Data", service_account = "x" }]
    bucket_name        = "Data"
    version_days       = 0
    log_days           = 2
  }

  expect_failures = [
    var.name, var.kubernetes_version, var.administrators, var.network_cidr, var.zones, var.system_pool, var.cpu_pool, var.gpu_pool,
    var.workloads, var.bucket_name, var.version_days, var.log_days,
  ]
}
