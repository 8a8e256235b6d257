import {
  to = rabbitmq_erlang_cookie.this["10.0.0.11"]
  identity = {
    host = "10.0.0.11"
  }
}
