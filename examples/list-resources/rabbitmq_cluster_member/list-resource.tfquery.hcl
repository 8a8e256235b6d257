# terraform query -generate-config-out=members.tf
list "rabbitmq_cluster_member" "orders" {
  provider = rabbitmq

  config {
    node = "rabbit@rmq1"
    host = "10.0.0.11"
  }
}
