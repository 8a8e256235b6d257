# A new host gets the cookie that the cluster has; it is kept in no state and no plan.
ephemeral "rabbitmq_erlang_cookie" "cluster" {
  host = "10.0.0.11"
}

resource "rabbitmq_erlang_cookie" "new_host" {
  host             = "10.0.0.14"
  value_wo         = ephemeral.rabbitmq_erlang_cookie.cluster.value
  value_wo_version = 1
}
