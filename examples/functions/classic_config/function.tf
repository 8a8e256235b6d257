terraform {
  required_providers {
    rabbitmq = {
      source = "rabbitmq-topology/rabbitmq"
    }
  }
}

locals {
  nodes = {
    "rabbit@rmq1" = { host = "10.0.0.11" }
    "rabbit@rmq2" = { host = "10.0.0.12" }
  }
}

# For the rabbitmq.conf that your image or configuration management lays down before the first start. What the nodes form
# by it is adopted by a rabbitmq_cluster with the same nodes, without one command that changes anything.
output "rabbitmq_conf" {
  value = provider::rabbitmq::classic_config(local.nodes)
}
