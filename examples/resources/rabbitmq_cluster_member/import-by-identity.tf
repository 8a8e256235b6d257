import {
  to = rabbitmq_cluster_member.this["rabbit@rmq1"]
  identity = {
    node = "rabbit@rmq1"
    host = "10.0.0.11"
  }
}
