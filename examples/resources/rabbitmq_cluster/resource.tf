variable "cookie" {
  type      = string
  ephemeral = true
}

locals {
  nodes = {
    "rabbit@rmq1" = { host = "10.0.0.11" } # key: the Erlang node name; host defaults to the part after @
    "rabbit@rmq2" = { host = "10.0.0.12" }
    "rabbit@rmq3" = { host = "10.0.0.13" }
  }
}

resource "rabbitmq_erlang_cookie" "this" {
  for_each         = local.nodes
  host             = each.value.host
  value_wo         = var.cookie
  value_wo_version = 1
}

resource "rabbitmq_cluster" "orders" {
  name       = "orders"
  members    = local.nodes
  depends_on = [rabbitmq_erlang_cookie.this]

  timeouts = {
    create = "20m"
    update = "20m"
    delete = "20m"
  }
}
