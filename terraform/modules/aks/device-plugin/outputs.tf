output "release" {
  description = "Name of the release."
  value       = helm_release.this.name
}
