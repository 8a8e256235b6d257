# By the host; the path of the cookie file follows after a comma when it is not RabbitMQ's own.
terraform import 'rabbitmq_erlang_cookie.this["10.0.0.11"]' 10.0.0.11
terraform import rabbitmq_erlang_cookie.other 10.0.0.21,/srv/rabbitmq/.erlang.cookie
