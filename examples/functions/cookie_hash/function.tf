terraform {
  required_providers {
    rabbitmq = { source = "rabbitmq-topology/rabbitmq" }
  }
}

variable "cookie" {
  type      = string
  sensitive = true
  default   = "SVUXHGAFDVKQWLPZNBTE"
}

# What `rabbitmq-diagnostics erlang_cookie_hash` prints on a host that has this cookie.
output "expected_hash" {
  value     = provider::rabbitmq::cookie_hash(var.cookie)
  sensitive = true
}
