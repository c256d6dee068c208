variable "name" {
  description = "Name of the cluster, and the beginning of the names of all that belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name must have 3 to 20 lower-case letters, digits and dashes, begin with a letter and not end with a dash."
  }
}

variable "location" {
  description = "Region of the cluster, its keys and its storage account, such as westeurope."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+[a-z0-9]*$", var.location))
    error_message = "location must be a region of Azure in its short form, such as westeurope."
  }
}

variable "kubernetes_version" {
  description = "Version of Kubernetes, such as 1.34; patches come by themselves. null: what Azure recommends. The operator needs 1.31 or newer."
  type        = string
  default     = null

  validation {
    condition     = var.kubernetes_version == null || can(regex("^1\\.(3[1-9]|[4-9][0-9])(\\.[0-9]+)?$", var.kubernetes_version))
    error_message = "kubernetes_version must be a version from 1.31, such as 1.34."
  }
}

variable "sku_tier" {
  description = "What Azure promises of the control plane: Free, Standard or Premium."
  type        = string
  default     = "Standard"

  validation {
    condition     = contains(["Free", "Standard", "Premium"], var.sku_tier)
    error_message = "sku_tier must be Free, Standard or Premium."
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
  description = "Object IDs of groups of Entra ID that administer the cluster. There are no local accounts: without a group, nobody can."
  type        = set(string)

  validation {
    condition     = length(var.administrators) > 0 && alltrue([for id in var.administrators : can(regex("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", id))])
    error_message = "administrators must be at least one object ID of a group, such as 00000000-1111-2222-3333-444444444444."
  }
}

variable "network_cidr" {
  description = "Addresses of the network that is made for the cluster: a /16 to /22. Nodes get theirs from it."
  type        = string
  default     = "10.64.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.network_cidr)) && can(regex("/(1[6-9]|2[0-2])$", var.network_cidr))
    error_message = "network_cidr must be an IPv4 CIDR block of /16 to /22, such as 10.64.0.0/16."
  }
}

variable "pod_cidr" {
  description = "Addresses of pods, which no other network sees."
  type        = string
  default     = "10.244.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.pod_cidr))
    error_message = "pod_cidr must be an IPv4 CIDR block, such as 10.244.0.0/16."
  }
}

variable "service_cidr" {
  description = "Addresses of Services, which no other network sees."
  type        = string
  default     = "10.245.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.service_cidr))
    error_message = "service_cidr must be an IPv4 CIDR block, such as 10.245.0.0/16."
  }
}

variable "system_pool" {
  description = "Nodes that always run, for the operator and the cluster's own pods."
  type = object({
    vm_size   = optional(string, "Standard_D4ds_v5")
    min_nodes = optional(number, 2)
    max_nodes = optional(number, 4)
    disk_gib  = optional(number, 128)
    zones     = optional(list(string), ["1", "2", "3"])
  })
  default = {}

  validation {
    condition     = var.system_pool.min_nodes >= 1 && var.system_pool.max_nodes >= var.system_pool.min_nodes && var.system_pool.disk_gib >= 30
    error_message = "system_pool must have min_nodes of at least 1, max_nodes of at least min_nodes, and disks of at least 30 GiB."
  }
}

variable "cpu_pool" {
  description = "Nodes for jobs and for models on CPUs. There are none while nothing needs them, unless min_nodes says otherwise."
  type = object({
    vm_size   = optional(string, "Standard_D8ds_v5")
    min_nodes = optional(number, 0)
    max_nodes = optional(number, 10)
    disk_gib  = optional(number, 128)
    zones     = optional(list(string), ["1", "2", "3"])
    spot      = optional(bool, false)
  })
  default = {}

  validation {
    condition     = var.cpu_pool.min_nodes >= 0 && var.cpu_pool.max_nodes >= max(1, var.cpu_pool.min_nodes) && var.cpu_pool.disk_gib >= 30
    error_message = "cpu_pool must have min_nodes of at least 0, max_nodes of at least 1 and at least min_nodes, and disks of at least 30 GiB."
  }
}

variable "gpu_pool" {
  description = "Nodes with NVIDIA GPUs for models. There are none while nothing needs them. `zones`: those that have such a GPU. null: no such pool."
  type = object({
    vm_size   = optional(string, "Standard_NC4as_T4_v3")
    zones     = optional(list(string), [])
    min_nodes = optional(number, 0)
    max_nodes = optional(number, 4)
    disk_gib  = optional(number, 256)
    spot      = optional(bool, false)
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

variable "storage_account_name" {
  description = "Name of the storage account for datasets and models; no other account of Azure may have it. null: the name and eight hex digits of the subscription and the region."
  type        = string
  default     = null

  validation {
    condition     = var.storage_account_name == null || can(regex("^[a-z0-9]{3,24}$", var.storage_account_name))
    error_message = "storage_account_name must have 3 to 24 lower-case letters and digits."
  }
}

variable "replication" {
  description = "Where the storage account keeps its copies: LRS, ZRS, GRS or GZRS."
  type        = string
  default     = "ZRS"

  validation {
    condition     = contains(["LRS", "ZRS", "GRS", "GZRS"], var.replication)
    error_message = "replication must be LRS, ZRS, GRS or GZRS."
  }
}

variable "bucket_networks" {
  description = "Public addresses or CIDR blocks (up to /30) from which the storage account is reached, beside the nodes."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.bucket_networks : can(cidrnetmask(strcontains(cidr, "/") ? cidr : "${cidr}/32")) && !endswith(cidr, "/0")])
    error_message = "bucket_networks must be IPv4 addresses or CIDR blocks, such as 203.0.113.0/24, and none may be the whole internet."
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
  description = "Whether a lock keeps people and programs from deleting the storage account. Terraform, which made the lock, takes it away in a destroy."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of everything that is made and can have them."
  type        = map(string)
  default     = {}
}
