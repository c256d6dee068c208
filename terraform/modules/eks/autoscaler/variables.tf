variable "cluster_name" {
  description = "Name of the cluster: the output `cluster_name` of the module `eks`."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$", var.cluster_name))
    error_message = "cluster_name must be the name of an EKS cluster."
  }
}

variable "role_arn" {
  description = "Role that the autoscaler has: the output `autoscaler_role_arn` of the module `eks`."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", var.role_arn))
    error_message = "role_arn must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/autoscaler."
  }
}

variable "chart" {
  description = "The chart: a path, an OCI address (oci://…), or its name in `repository`."
  type        = string
  default     = "cluster-autoscaler"

  validation {
    condition     = length(trimspace(var.chart)) > 0
    error_message = "chart must not be empty."
  }
}

variable "repository" {
  description = "The chart's repository. null: `chart` is a path or an OCI address, such as that of a mirror."
  type        = string
  default     = "https://kubernetes.github.io/autoscaler"

  validation {
    condition     = var.repository == null || can(regex("^(https|oci)://[^[:space:]]+$", var.repository))
    error_message = "repository must be an https:// or oci:// address, or null."
  }
}

variable "chart_version" {
  description = "Version of the chart. null: that of the path."
  type        = string
  default     = "9.52.1"

  validation {
    condition     = var.chart_version == null || can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+", var.chart_version))
    error_message = "chart_version must be an exact version, such as 9.52.1."
  }
}

variable "idle_minutes" {
  description = "Minutes for which a node is not needed before it goes."
  type        = number
  default     = 10

  validation {
    condition     = var.idle_minutes >= 1 && floor(var.idle_minutes) == var.idle_minutes
    error_message = "idle_minutes must be a whole number of at least 1."
  }
}
