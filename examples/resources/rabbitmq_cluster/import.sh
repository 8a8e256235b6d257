# By any one member; it brings in all the others. The host follows after a comma when the name does not tell it.
terraform import rabbitmq_cluster.orders rabbit@rmq1,10.0.0.11
