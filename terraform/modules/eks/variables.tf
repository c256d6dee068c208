variable "name" {
  description = "Name of the cluster, and the beginning of the names of all that belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}[a-z0-9]$", var.name))
    error_message = "name must have 3 to 26 lower-case letters, digits and dashes, begin with a letter and not end with a dash."
  }
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes, such as 1.34. The operator needs 1.31 or newer."
  type        = string
  default     = "1.34"

  validation {
    condition     = can(regex("^1\\.(3[1-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version must be a minor version from 1.31, such as 1.34."
  }
}

variable "authorized_networks" {
  description = "CIDR blocks from which the API server is reached over the internet. Empty: it is reached from the cluster's network alone."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.authorized_networks : can(cidrnetmask(cidr)) && !endswith(cidr, "/0")])
    error_message = "authorized_networks must be IPv4 CIDR blocks, such as 203.0.113.0/24, and none may be the whole internet."
  }
}

variable "administrators" {
  description = "ARNs of IAM roles and users that administer the cluster, beside whoever creates it."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.administrators : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/", arn))])
    error_message = "administrators must be ARNs of IAM roles or users, such as arn:aws:iam::123456789012:role/platform."
  }
}

variable "network_cidr" {
  description = "Addresses of the network that is made for the cluster: a /16 to /20. Nodes and pods get theirs from it."
  type        = string
  default     = "10.64.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.network_cidr)) && can(regex("/(1[6-9]|20)$", var.network_cidr))
    error_message = "network_cidr must be an IPv4 CIDR block of /16 to /20, such as 10.64.0.0/16."
  }
}

variable "zones" {
  description = "Number of availability zones that the nodes are spread over."
  type        = number
  default     = 3

  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "zones must be 2 or 3."
  }
}

variable "system_pool" {
  description = "Nodes that always run, for the operator and the cluster's own pods."
  type = object({
    instance_types = optional(list(string), ["m7i.large"])
    min_nodes      = optional(number, 2)
    max_nodes      = optional(number, 4)
    disk_gib       = optional(number, 50)
  })
  default = {}

  validation {
    condition     = var.system_pool.min_nodes >= 1 && var.system_pool.max_nodes >= var.system_pool.min_nodes && var.system_pool.disk_gib >= 20
    error_message = "system_pool must have min_nodes of at least 1, max_nodes of at least min_nodes, and disks of at least 20 GiB."
  }
}

variable "cpu_pool" {
  description = "Nodes for jobs and for models on CPUs. There are none while nothing needs them, unless min_nodes says otherwise."
  type = object({
    instance_types = optional(list(string), ["m7i.2xlarge"])
    min_nodes      = optional(number, 0)
    max_nodes      = optional(number, 10)
    disk_gib       = optional(number, 100)
    spot           = optional(bool, false)
  })
  default = {}

  validation {
    condition     = var.cpu_pool.min_nodes >= 0 && var.cpu_pool.max_nodes >= max(1, var.cpu_pool.min_nodes) && var.cpu_pool.disk_gib >= 20
    error_message = "cpu_pool must have min_nodes of at least 0, max_nodes of at least 1 and at least min_nodes, and disks of at least 20 GiB."
  }
}

variable "gpu_pool" {
  description = "Nodes with NVIDIA GPUs for models. There are none while nothing needs them. null: no such pool."
  type = object({
    instance_types = optional(list(string), ["g6.xlarge"])
    min_nodes      = optional(number, 0)
    max_nodes      = optional(number, 4)
    disk_gib       = optional(number, 200)
    spot           = optional(bool, false)
  })
  default = null

  validation {
    condition = var.gpu_pool == null ? true : (
      var.gpu_pool.min_nodes >= 0 && var.gpu_pool.max_nodes >= max(1, var.gpu_pool.min_nodes) && var.gpu_pool.disk_gib >= 50
    )
    error_message = "gpu_pool must have min_nodes of at least 0, max_nodes of at least 1 and at least min_nodes, and disks of at least 50 GiB."
  }
}

variable "workloads" {
  description = "Service accounts of Kubernetes that may use the bucket: those that jobs and models name in `pod.serviceAccountName`."
  type = set(object({
    namespace       = string
    service_account = string
  }))
  default = [{ namespace = "datasets", service_account = "textnlp" }]

  validation {
    condition = alltrue([
      for workload in var.workloads :
      can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", workload.namespace)) && can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", workload.service_account))
    ])
    error_message = "workloads must be names that Kubernetes allows: lower-case letters, digits and dashes."
  }
}

variable "bucket_name" {
  description = "Name of the bucket for datasets and models; no other bucket of the world may have it. null: `NAME-datasets-ACCOUNT`."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must have 3 to 63 lower-case letters, digits and dashes."
  }
}

variable "version_days" {
  description = "Days for which the bucket keeps what was overwritten or deleted."
  type        = number
  default     = 30

  validation {
    condition     = var.version_days >= 1 && floor(var.version_days) == var.version_days
    error_message = "version_days must be a whole number of at least 1."
  }
}

variable "log_days" {
  description = "Days for which the control plane's logs are kept."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_days)
    error_message = "log_days must be a number that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "deletion_protection" {
  description = "Whether the cluster and a bucket that is not empty outlive `terraform destroy`. To remove all: apply with false, then destroy."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
