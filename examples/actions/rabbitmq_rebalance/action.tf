locals {
  nodes = {
    "rabbit@rmq1" = { host = "10.0.0.11" }
    "rabbit@rmq2" = { host = "10.0.0.12" }
    "rabbit@rmq3" = { host = "10.0.0.13" }
  }
}

# After rabbit@rmq3 has joined: terraform apply -invoke=action.rabbitmq_rebalance.orders
action "rabbitmq_rebalance" "orders" {
  config {
    nodes = local.nodes
    grow  = ["rabbit@rmq3"]
  }
}
