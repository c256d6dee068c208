variable "node_labels" {
  description = "Labels of the nodes with GPUs: the output `gpu_labels` of the module `aks`."
  type        = map(string)

  validation {
    condition     = length(var.node_labels) > 0
    error_message = "node_labels must have at least one label, or the plugin would run on every node."
  }
}

variable "chart" {
  description = "The chart: a path, an OCI address (oci://…), or its name in `repository`."
  type        = string
  default     = "nvidia-device-plugin"

  validation {
    condition     = length(trimspace(var.chart)) > 0
    error_message = "chart must not be empty."
  }
}

variable "repository" {
  description = "The chart's repository. null: `chart` is a path or an OCI address, such as that of a mirror."
  type        = string
  default     = "https://nvidia.github.io/k8s-device-plugin"

  validation {
    condition     = var.repository == null || can(regex("^(https|oci)://[^[:space:]]+$", var.repository))
    error_message = "repository must be an https:// or oci:// address, or null."
  }
}

variable "chart_version" {
  description = "Version of the chart. null: that of the path."
  type        = string
  default     = "0.17.4"

  validation {
    condition     = var.chart_version == null || can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+", var.chart_version))
    error_message = "chart_version must be an exact version, such as 0.17.4."
  }
}
