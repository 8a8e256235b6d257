import {
  to = rabbitmq_hosts_file.this["rabbit@rmq1"]
  id = "10.0.0.11"
}
