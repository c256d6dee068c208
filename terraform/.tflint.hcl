# The rules of Terraform's language, which tflint brings along. Those of the clouds are plugins that it would fetch from elsewhere.
config {
  call_module_type = "local"
}

plugin "terraform" {
  enabled = true
  preset  = "all"
}

# A module has files by subject, not one main.tf.
rule "terraform_standard_module_structure" {
  enabled = false
}
