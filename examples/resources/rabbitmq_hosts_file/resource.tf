locals {
  nodes = {
    "rabbit@rmq1" = { host = "10.0.0.11" }
    "rabbit@rmq2" = { host = "10.0.0.12" }
    "rabbit@rmq3" = { host = "10.0.0.13" }
  }
}

# Every host knows the others, and itself, by the host part of their node names.
resource "rabbitmq_hosts_file" "this" {
  for_each = local.nodes
  host     = each.value.host
  entries  = { for node, member in local.nodes : split("@", node)[1] => member.host }
}

resource "rabbitmq_cluster" "this" {
  members    = local.nodes
  depends_on = [rabbitmq_hosts_file.this]
}
