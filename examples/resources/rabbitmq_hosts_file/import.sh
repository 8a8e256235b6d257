# By the host; the name of the block follows after a comma when it is not the default, and then the path of the file.
terraform import 'rabbitmq_hosts_file.this["rabbit@rmq1"]' 10.0.0.11
terraform import rabbitmq_hosts_file.shop 10.0.0.11,shop
