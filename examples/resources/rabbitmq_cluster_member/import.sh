# By the node; the host follows after a comma when the name does not tell it.
terraform import 'rabbitmq_cluster_member.this["rabbit@rmq1"]' rabbit@rmq1,10.0.0.11
