import {
  to = rabbitmq_cluster.orders
  id = "rabbit@rmq1,10.0.0.11"
}
