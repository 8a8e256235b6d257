locals {
  nodes = {
    "rabbit@rmq1" = { host = "10.0.0.11" }
    "rabbit@rmq2" = { host = "10.0.0.12" }
    "rabbit@rmq3" = { host = "10.0.0.13" }
  }
}

data "rabbitmq_cluster" "orders" {
  nodes = local.nodes
}

output "versions" {
  value = { for node, member in data.rabbitmq_cluster.orders.members : node => member.version }
}
