# What makes GPUs something that a pod can ask for. AKS installs NVIDIA's driver on nodes with GPUs, not this; EKS (Bottlerocket) and GKE
# have both. The plugin talks to the kubelet through a path of the node, so its namespace cannot be restricted.

resource "helm_release" "this" {
  name             = "nvidia-device-plugin"
  namespace        = "nvidia-device-plugin"
  create_namespace = true
  chart            = var.chart
  repository       = var.repository
  version          = var.chart_version
  atomic           = true
  timeout          = 600

  values = [yamlencode({
    nodeSelector = var.node_labels
    tolerations  = [{ key = "nvidia.com/gpu", operator = "Exists", effect = "NoSchedule" }]
  })]
}
