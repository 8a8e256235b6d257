locals {
  nodes = {
    "rabbit@rmq1" = { host = "10.0.0.11" }
    "rabbit@rmq2" = { host = "10.0.0.12" }
    "rabbit@rmq3" = { host = "10.0.0.13" }
  }
}

# rmq2 and rmq3 burnt down, and rmq1 waits for them:
# terraform apply -invoke=action.rabbitmq_force_boot.rmq1
action "rabbitmq_force_boot" "rmq1" {
  config {
    nodes = local.nodes
    node  = "rabbit@rmq1"
    lost  = ["rabbit@rmq2", "rabbit@rmq3"]
  }
}
