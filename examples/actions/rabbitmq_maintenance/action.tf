locals {
  nodes = {
    "rabbit@rmq1" = { host = "10.0.0.11" }
    "rabbit@rmq2" = { host = "10.0.0.12" }
    "rabbit@rmq3" = { host = "10.0.0.13" }
  }
}

# terraform apply -invoke=action.rabbitmq_maintenance.drain_rmq3
action "rabbitmq_maintenance" "drain_rmq3" {
  config {
    nodes = local.nodes
    node  = "rabbit@rmq3"
    mode  = "drain"
  }
}

action "rabbitmq_maintenance" "revive_rmq3" {
  config {
    nodes = local.nodes
    node  = "rabbit@rmq3"
    mode  = "revive"
  }
}
