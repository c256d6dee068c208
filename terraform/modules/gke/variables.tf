variable "name" {
  description = "Name of the cluster, and the beginning of the names of all that belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name must have 3 to 20 lower-case letters, digits and dashes, begin with a letter and not end with a dash."
  }
}

variable "project" {
  description = "ID of the project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be the ID of a project, such as nlp-platform-314159."
  }
}

variable "region" {
  description = "Region of the cluster, its keys and its bucket, such as europe-west4."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region of Google Cloud, such as europe-west4."
  }
}

variable "release_channel" {
  description = "How early Google brings new versions of Kubernetes: RAPID, REGULAR, STABLE or EXTENDED."
  type        = string
  default     = "REGULAR"

  validation {
    condition     = contains(["RAPID", "REGULAR", "STABLE", "EXTENDED"], var.release_channel)
    error_message = "release_channel must be RAPID, REGULAR, STABLE or EXTENDED."
  }
}

variable "kubernetes_version" {
  description = "The least version of the control plane, such as 1.34. null: what the channel has. The operator needs 1.31 or newer."
  type        = string
  default     = null

  validation {
    condition     = var.kubernetes_version == null || can(regex("^1\\.(3[1-9]|[4-9][0-9])([.-]|$)", var.kubernetes_version))
    error_message = "kubernetes_version must be a version from 1.31, such as 1.34."
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

variable "network_cidr" {
  description = "Addresses of the network that is made for the cluster, a /16: a quarter is for nodes, half for pods, an eighth for Services."
  type        = string
  default     = "10.64.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.network_cidr)) && endswith(var.network_cidr, "/16")
    error_message = "network_cidr must be an IPv4 CIDR block of /16, such as 10.64.0.0/16."
  }
}

variable "system_pool" {
  description = "Nodes that always run, for the operator and the cluster's own pods; the numbers are of all zones together."
  type = object({
    machine_type = optional(string, "e2-standard-4")
    min_nodes    = optional(number, 2)
    max_nodes    = optional(number, 4)
    disk_gib     = optional(number, 50)
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
    machine_type = optional(string, "n2-standard-8")
    min_nodes    = optional(number, 0)
    max_nodes    = optional(number, 10)
    disk_gib     = optional(number, 100)
    spot         = optional(bool, false)
  })
  default = {}

  validation {
    condition     = var.cpu_pool.min_nodes >= 0 && var.cpu_pool.max_nodes >= max(1, var.cpu_pool.min_nodes) && var.cpu_pool.disk_gib >= 20
    error_message = "cpu_pool must have min_nodes of at least 0, max_nodes of at least 1 and at least min_nodes, and disks of at least 20 GiB."
  }
}

variable "gpu_pool" {
  description = "Nodes with NVIDIA GPUs for models. There are none while nothing needs them. `zones`: those that have such a GPU. null: no such pool."
  type = object({
    machine_type = optional(string, "g2-standard-8")
    accelerator  = optional(string, "nvidia-l4")
    gpus         = optional(number, 1)
    zones        = optional(list(string))
    min_nodes    = optional(number, 0)
    max_nodes    = optional(number, 4)
    disk_gib     = optional(number, 200)
    spot         = optional(bool, false)
  })
  default = null

  validation {
    condition = var.gpu_pool == null ? true : (
      var.gpu_pool.min_nodes >= 0 && var.gpu_pool.max_nodes >= max(1, var.gpu_pool.min_nodes) && var.gpu_pool.disk_gib >= 50 &&
      contains([1, 2, 4, 8], var.gpu_pool.gpus)
    )
    error_message = "gpu_pool must have min_nodes of at least 0, max_nodes of at least 1 and at least min_nodes, disks of at least 50 GiB, and 1, 2, 4 or 8 gpus."
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
  description = "Name of the bucket for datasets and models; no other bucket of the world may have it. null: `PROJECT-NAME-datasets`."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_name == null || can(regex("^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must have 3 to 63 lower-case letters, digits, dashes and underscores."
  }
}

variable "key_ring" {
  description = "Name of the ring of keys. Google never deletes one: a cluster that takes another's place needs another. null: the cluster's name."
  type        = string
  default     = null

  validation {
    condition     = var.key_ring == null || can(regex("^[a-zA-Z0-9_-]{1,63}$", var.key_ring))
    error_message = "key_ring must have 1 to 63 letters, digits, dashes and underscores."
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

variable "deletion_protection" {
  description = "Whether the cluster and a bucket that is not empty outlive `terraform destroy`. To remove all: apply with false, then destroy."
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of everything that is made and can have them."
  type        = map(string)
  default     = {}
}
