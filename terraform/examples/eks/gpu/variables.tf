variable "region" {
  description = "Region of AWS, such as eu-central-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be a region of AWS, such as eu-central-1."
  }
}

variable "authorized_networks" {
  description = "CIDR blocks from which the API server is reached: that of whoever applies this, for one. Empty: from the cluster's network alone."
  type        = list(string)

  validation {
    condition     = alltrue([for cidr in var.authorized_networks : can(cidrnetmask(cidr)) && !endswith(cidr, "/0")])
    error_message = "authorized_networks must be IPv4 CIDR blocks, such as 203.0.113.0/24, and none may be the whole internet."
  }
}

variable "registry" {
  description = "Registry, with a path if it has one, that the images textnlp and textnlp-operator were pushed to."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9.:-]+(/[a-z0-9._-]+)*$", var.registry))
    error_message = "registry must be a registry's host with an optional path, such as registry.example.com/nlp."
  }
}
