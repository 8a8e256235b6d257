# Three hosts on which RabbitMQ is installed become one cluster. Copy this folder, set your own hosts, and:
#
#   export TF_VAR_cookie=$(openssl rand -hex 20)
#   terraform init && terraform apply
#
# An apply needs the cookie again, because it is kept nowhere: put it into your secret store.
terraform {
  required_version = ">= 1.11" # write-only values; OpenTofu too

  required_providers {
    rabbitmq = {
      source = "rabbitmq-topology/rabbitmq"
    }
  }
}

variable "nodes" {
  description = "The hosts' addresses by Erlang node name."
  type        = map(string)
  default = {
    "rabbit@rmq1" = "10.0.0.11"
    "rabbit@rmq2" = "10.0.0.12"
    "rabbit@rmq3" = "10.0.0.13"
  }
}

variable "ssh_user" {
  description = "An account that may use sudo without a password."
  type        = string
  default     = "deploy"
}

variable "cookie" {
  description = "The Erlang cookie: 1 to 255 printable ASCII characters without blanks."
  type        = string
  ephemeral   = true
}

provider "rabbitmq" {
  ssh = {
    user = var.ssh_user
  }
}

resource "rabbitmq_erlang_cookie" "this" {
  for_each         = var.nodes
  host             = each.value
  value_wo         = var.cookie
  value_wo_version = 1
}

resource "rabbitmq_cluster" "this" {
  name       = "orders"
  members    = { for node, host in var.nodes : node => { host = host } }
  depends_on = [rabbitmq_erlang_cookie.this]
}

output "running" {
  description = "Which members run."
  value       = { for node, member in rabbitmq_cluster.this.members : node => member.running }
}
