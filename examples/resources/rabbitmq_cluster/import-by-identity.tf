import {
  to = rabbitmq_cluster.orders
  identity = {
    node = "rabbit@rmq1"
    host = "10.0.0.11"
  }
}
