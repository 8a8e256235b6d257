# A scheduled `terraform plan` of this says what is not as it should be, and changes nothing.
locals {
  expected = {
    "rabbit@rmq1" = { host = "10.0.0.11" }
    "rabbit@rmq2" = { host = "10.0.0.12" }
    "rabbit@rmq3" = { host = "10.0.0.13" }
  }
}

check "orders" {
  data "rabbitmq_cluster" "now" {
    nodes = local.expected
  }

  assert {
    condition     = toset(keys(data.rabbitmq_cluster.now.members)) == toset(keys(local.expected))
    error_message = "Members are ${join(", ", keys(data.rabbitmq_cluster.now.members))}."
  }

  assert {
    condition     = alltrue([for member in data.rabbitmq_cluster.now.members : member.running])
    error_message = "These do not run: ${join(", ", [for node, member in data.rabbitmq_cluster.now.members : node if !member.running])}."
  }

  assert {
    condition     = length(data.rabbitmq_cluster.now.partitions) == 0 && data.rabbitmq_cluster.now.majority
    error_message = "The cluster is partitioned, or has no majority: ${jsonencode(data.rabbitmq_cluster.now.partitions)}."
  }

  assert {
    condition     = length(data.rabbitmq_cluster.now.alarms) == 0
    error_message = "Publishers are blocked: ${jsonencode(data.rabbitmq_cluster.now.alarms)}."
  }

  assert {
    condition     = length(distinct([for member in data.rabbitmq_cluster.now.members : member.version if member.version != null])) == 1
    error_message = "Members run different versions of RabbitMQ."
  }
}
