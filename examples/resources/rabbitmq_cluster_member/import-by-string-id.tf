import {
  to = rabbitmq_cluster_member.this["rabbit@rmq1"]
  id = "rabbit@rmq1,10.0.0.11"
}
