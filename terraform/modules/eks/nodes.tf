# Bottlerocket on all nodes: read-only, without a shell; its NVIDIA variant has the driver and the device plugin, so a GPU is there to
# be asked for as soon as a node is.

locals {
  # What jobs and models select: `pod.nodeSelector`.
  pool_label = "textnlp.dev/pool"
  # What keeps other pods from GPU nodes. Models that ask for a GPU get the toleration from the operator.
  gpu_taint = { key = "nvidia.com/gpu", value = "present", effect = "NO_SCHEDULE" }

  pools = merge(
    {
      system = merge(var.system_pool, { ami = "BOTTLEROCKET_x86_64", spot = false, taints = [] })
      cpu    = merge(var.cpu_pool, { ami = "BOTTLEROCKET_x86_64", taints = [] })
    },
    var.gpu_pool == null ? {} : {
      gpu = merge(var.gpu_pool, { ami = "BOTTLEROCKET_x86_64_NVIDIA", taints = [local.gpu_taint] })
    },
  )
}

resource "aws_launch_template" "this" {
  for_each = local.pools

  name_prefix            = "${var.name}-${each.key}-"
  update_default_version = true
  tags                   = var.tags

  # The system's disk, then that of images and pods.
  dynamic "block_device_mappings" {
    for_each = { "/dev/xvda" = 4, "/dev/xvdb" = each.value.disk_gib }

    content {
      device_name = block_device_mappings.key

      ebs {
        volume_size           = block_device_mappings.value
        volume_type           = "gp3"
        encrypted             = true
        kms_key_id            = aws_kms_key.disks.arn
        delete_on_termination = true
      }
    }
  }

  # Tokens only, and for the node alone: pods have identities of their own.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(var.tags, { Name = "${var.name}-${each.key}" })
  }

  tag_specifications {
    resource_type = "volume"
    tags          = merge(var.tags, { Name = "${var.name}-${each.key}" })
  }
}

resource "aws_eks_node_group" "this" {
  for_each = local.pools

  cluster_name    = aws_eks_cluster.this.name
  node_group_name = each.key
  node_role_arn   = aws_iam_role.nodes.arn
  subnet_ids      = [for subnet in aws_subnet.private : subnet.id]
  ami_type        = each.value.ami
  capacity_type   = each.value.spot ? "SPOT" : "ON_DEMAND"
  instance_types  = each.value.instance_types
  labels          = { (local.pool_label) = each.key }
  tags            = var.tags

  scaling_config {
    min_size     = each.value.min_nodes
    max_size     = each.value.max_nodes
    desired_size = each.value.min_nodes
  }

  launch_template {
    id      = aws_launch_template.this[each.key].id
    version = aws_launch_template.this[each.key].latest_version
  }

  dynamic "taint" {
    for_each = each.value.taints

    content {
      key    = taint.value.key
      value  = taint.value.value
      effect = taint.value.effect
    }
  }

  update_config {
    max_unavailable = 1
  }

  # The autoscaler's from here on.
  lifecycle {
    ignore_changes = [scaling_config[0].desired_size]
  }

  depends_on = [
    aws_eks_addon.before_nodes,
    aws_iam_role_policy_attachment.nodes,
    aws_route.private_out,
  ]
}

# A pool without nodes has none that the autoscaler could look at: these tags say what the next one would be like.
resource "aws_autoscaling_group_tag" "label" {
  for_each = local.pools

  autoscaling_group_name = aws_eks_node_group.this[each.key].resources[0].autoscaling_groups[0].name

  tag {
    key                 = "k8s.io/cluster-autoscaler/node-template/label/${local.pool_label}"
    value               = each.key
    propagate_at_launch = false
  }
}

resource "aws_autoscaling_group_tag" "taint" {
  for_each = { for name, pool in local.pools : name => pool.taints[0] if length(pool.taints) > 0 }

  autoscaling_group_name = aws_eks_node_group.this[each.key].resources[0].autoscaling_groups[0].name

  tag {
    key                 = "k8s.io/cluster-autoscaler/node-template/taint/${each.value.key}"
    value               = "${each.value.value}:NoSchedule"
    propagate_at_launch = false
  }
}
