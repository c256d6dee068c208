# What a mock of Helm answers where a made-up text will not do: values of the form that the provider checks.

mock_resource "helm_release" {
  defaults = {
    metadata = {
      app_version    = "0.1.0"
      chart          = "textnlp-operator"
      first_deployed = 0
      last_deployed  = 0
      name           = "textnlp-operator"
      namespace      = "textnlp-system"
      notes          = ""
      revision       = 1
      values         = "{}"
      version        = "0.1.0"
    }
  }
}
