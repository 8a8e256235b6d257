# Three RabbitMQ nodes on one machine become one cluster: the walk-through of RabbitMQ's clustering guide, without typing
# it. The machine has RabbitMQ installed. Its first node, rabbit, is the one that systemd runs; hare and tortoise are
# started by a command, with ports of their own.
#
#   terraform init && terraform apply
#
# Instead of
#
#   RABBITMQ_NODENAME=hare RABBITMQ_NODE_PORT=5673 rabbitmq-server -detached
#   rabbitmqctl -n hare stop_app
#   rabbitmqctl -n hare join_cluster rabbit@rmq1
#   rabbitmqctl -n hare start_app
#
# and the same for tortoise. A node that is stopped, or that a reboot has left stopped, is started by the next apply.
terraform {
  required_version = ">= 1.11"

  required_providers {
    rabbitmq = {
      source = "rabbitmq-topology/rabbitmq"
    }
  }
}

variable "host" {
  description = "The machine's host name, as `hostname -s` prints it there."
  type        = string
  default     = "rmq1"
}

variable "address" {
  description = "Name or address by which the machine is reached with SSH."
  type        = string
  default     = "10.0.0.11"
}

variable "ssh_user" {
  description = "An account that may use sudo without a password."
  type        = string
  default     = "deploy"
}

variable "extra_nodes" {
  description = "What else listens beside the node that systemd runs: the AMQP port by node name. Nodes talk to each other on that port plus 20000."
  type        = map(number)
  default = {
    hare     = 5673
    tortoise = 5674
  }
}

provider "rabbitmq" {
  ssh = {
    user = var.ssh_user
  }
}

locals {
  # RABBITMQ_NODENAME follows from the node's name. The management plugin listens on a port of its own, too; where it is
  # not enabled its setting does nothing.
  extra = {
    for name, port in var.extra_nodes : "${name}@${var.host}" => {
      host = var.address
      service_commands = {
        start = ["rabbitmq-server", "-detached"]
        environment = {
          RABBITMQ_NODE_PORT         = tostring(port)
          RABBITMQ_SERVER_START_ARGS = "-rabbitmq_management listener [{port,${port + 10000}}]"
        }
      }
    }
  }
}

resource "rabbitmq_cluster" "this" {
  name = "burrow"
  members = merge(local.extra, {
    "rabbit@${var.host}" = { host = var.address }
  })
}

output "running" {
  description = "Which members run."
  value       = { for node, member in rabbitmq_cluster.this.members : node => member.running }
}
