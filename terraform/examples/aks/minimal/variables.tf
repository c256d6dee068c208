variable "subscription_id" {
  description = "ID of the subscription."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", var.subscription_id))
    error_message = "subscription_id must be an ID such as 00000000-1111-2222-3333-444444444444."
  }
}

variable "location" {
  description = "Region of Azure, such as westeurope."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+[a-z0-9]*$", var.location))
    error_message = "location must be a region of Azure in its short form, such as westeurope."
  }
}

variable "administrators" {
  description = "Object IDs of groups of Entra ID that administer the cluster; whoever applies this must be in one."
  type        = set(string)

  validation {
    condition     = length(var.administrators) > 0
    error_message = "administrators must be at least one object ID of a group."
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
