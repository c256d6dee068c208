variable "namespace" {
  description = "Namespace of the operator. It enforces the restricted pod security standard."
  type        = string
  default     = "textnlp-system"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace must be a name that Kubernetes allows: lower-case letters, digits and dashes, at most 63."
  }
}

variable "release" {
  description = "Name of the Helm release, and of the operator's objects."
  type        = string
  default     = "textnlp-operator"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$", var.release))
    error_message = "release must have at most 52 lower-case letters, digits and dashes."
  }
}

variable "chart" {
  description = "The chart: a path, such as that of charts/textnlp-operator in a checkout, or the address of a package in a registry (oci://…)."
  type        = string

  validation {
    condition     = can(regex("^oci://[^[:space:]]+$", var.chart)) || can(regex("^[./]", var.chart))
    error_message = "chart must be a path that begins with `.` or `/`, or an address that begins with oci://."
  }
}

variable "chart_version" {
  description = "Version of the chart, such as 0.1.0: needed with a registry. null: that of the path."
  type        = string
  default     = null

  validation {
    condition     = startswith(var.chart, "oci://") ? can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+", var.chart_version)) : var.chart_version == null
    error_message = "chart_version must be an exact version, such as 0.1.0, with a chart from a registry, and null with a path."
  }
}

variable "image" {
  description = "The operator's own image. What is null or left out is the chart's; a digest wins over a tag."
  type = object({
    registry   = optional(string)
    repository = optional(string)
    tag        = optional(string)
    digest     = optional(string)
  })
  default = {}

  validation {
    condition     = var.image.digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.image.digest))
    error_message = "image.digest must be sha256: and 64 hex digits."
  }
}

variable "workload_image" {
  description = "The image of all pods that the operator starts. What is null or left out is the chart's; a digest wins over a tag."
  type = object({
    registry   = optional(string)
    repository = optional(string)
    tag        = optional(string)
    digest     = optional(string)
  })
  default = {}

  validation {
    condition     = var.workload_image.digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.workload_image.digest))
    error_message = "workload_image.digest must be sha256: and 64 hex digits."
  }
}

variable "image_pull_secrets" {
  description = "Names of Secrets in `namespace` with which the operator's image is pulled."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.image_pull_secrets : can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", name))])
    error_message = "image_pull_secrets must be names of Secrets: lower-case letters, digits, dashes and dots."
  }
}

variable "replicas" {
  description = "Replicas of the operator. One leads, the others wait."
  type        = number
  default     = 2

  validation {
    condition     = contains(range(1, 10), var.replicas)
    error_message = "replicas must be a whole number from 1 to 9."
  }
}

variable "watch_workspaces_only" {
  description = "Whether the operator runs the resources of `workspaces` alone, with Roles there, rather than those of all namespaces."
  type        = bool
  default     = false

  validation {
    condition     = !var.watch_workspaces_only || length(var.workspaces) > 0
    error_message = "watch_workspaces_only needs at least one of workspaces."
  }
}

variable "node_selector" {
  description = "Labels of the nodes that the operator itself runs on."
  type        = map(string)
  default     = { "textnlp.dev/pool" = "system" }
}

variable "server_access" {
  description = "Whether models answer only accounts of their namespace and whom RBAC lets invoke them."
  type        = bool
  default     = true
}

variable "service_monitor" {
  description = "Whether the Prometheus operator, which must be there, is told to scrape the operator."
  type        = bool
  default     = false
}

variable "values" {
  description = "Further values of the chart, which win over all others; its README lists them. A name that is not among them is refused."
  type        = any
  default     = {}

  validation {
    condition     = can(keys(var.values))
    error_message = "values must be an object, such as { logLevel = \"debug\" }."
  }
}

variable "workspaces" {
  description = "Namespaces for jobs and models, by name: each enforces the restricted pod security standard and has a service account for the object store."
  type = map(object({
    service_account = optional(string, "textnlp")
    annotations     = optional(map(string), {})
    labels          = optional(map(string), {})
  }))
  default = {}

  validation {
    condition = alltrue([
      for namespace, workspace in var.workspaces :
      can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", namespace)) && can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", workspace.service_account))
    ])
    error_message = "workspaces must have names that Kubernetes allows: lower-case letters, digits and dashes."
  }
}

variable "storage_class" {
  description = "Storage class for models' caches and jobs' claims: the output of a cluster's module. null: none is made."
  type = object({
    name        = optional(string, "textnlp")
    provisioner = string
    parameters  = optional(map(string), {})
  })
  default = null

  validation {
    condition     = var.storage_class == null ? true : can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", var.storage_class.name))
    error_message = "storage_class.name must be a name that Kubernetes allows: lower-case letters, digits, dashes and dots."
  }
}

variable "timeout_seconds" {
  description = "Seconds that an installation or an upgrade may take until the operator is ready; then it is rolled back."
  type        = number
  default     = 600

  validation {
    condition     = var.timeout_seconds >= 60 && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "timeout_seconds must be a whole number of at least 60."
  }
}
