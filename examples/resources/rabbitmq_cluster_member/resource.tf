locals {
  nodes = {
    "rabbit@rmq1" = { host = "10.0.0.11" }
    "rabbit@rmq2" = { host = "10.0.0.12" }
    "rabbit@rmq3" = { host = "10.0.0.13" }
  }
}

resource "rabbitmq_cluster_member" "this" {
  for_each = local.nodes
  node     = each.key
  host     = each.value.host
  peers    = local.nodes # the node itself is ignored when listed
}
