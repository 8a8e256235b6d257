import {
  to = rabbitmq_hosts_file.this["rabbit@rmq1"]
  identity = {
    host = "10.0.0.11"
  }
}
