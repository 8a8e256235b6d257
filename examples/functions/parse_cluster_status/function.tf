terraform {
  required_providers {
    rabbitmq = { source = "rabbitmq-topology/rabbitmq" }
  }
}

variable "status" {
  description = "What `rabbitmqctl cluster_status --formatter json` printed."
  type        = string
  default     = <<-EOT
    {"alarms":[],"cluster_name":"orders","disk_nodes":["rabbit@rmq1","rabbit@rmq2"],"feature_flags":[],
     "listeners":{},"maintenance_status":{},"partitions":{},"ram_nodes":[],"running_nodes":["rabbit@rmq1"],"versions":{}}
  EOT
}

locals {
  status = provider::rabbitmq::parse_cluster_status(var.status)
}

output "not_running" {
  value = [for node, member in local.status.members : node if !member.running]
}
