locals {
  nodes = {
    "rabbit@rmq1" = { host = "10.0.0.11" }
    "rabbit@rmq2" = { host = "10.0.0.12" }
    "rabbit@rmq3" = { host = "10.0.0.13" }
  }
}

# terraform apply -invoke=action.rabbitmq_rolling_restart.orders
action "rabbitmq_rolling_restart" "orders" {
  config {
    nodes = local.nodes
  }
}
