variable "cookie" {
  type      = string
  ephemeral = true
}

# The cookie is on every host before anything is clustered, and never in the state.
resource "rabbitmq_erlang_cookie" "this" {
  for_each         = toset(["10.0.0.11", "10.0.0.12", "10.0.0.13"])
  host             = each.key
  value_wo         = var.cookie
  value_wo_version = 1 # raise it to rotate
}
