data "rabbitmq_node" "rmq3" {
  host = "10.0.0.13"
  node = "rabbit@rmq3"
}

# Before a member is taken out: what would be gone, and what would bring it back.
output "only_here" {
  value = [
    for queues in try(data.rabbitmq_node.rmq3.inventory.queues, []) : "${queues.count} ${queues.type} queues with ${queues.messages} messages"
    if queues.copies == tolist(["rabbit@rmq3"])
  ]
}

check "stays_out" {
  assert {
    condition     = length(coalesce(data.rabbitmq_node.rmq3.rejoin_hints, [])) == 0
    error_message = "It would join again by itself: ${join("; ", coalesce(data.rabbitmq_node.rmq3.rejoin_hints, []))}."
  }
}
