erl_call -r -sname rabbit@rmq3 -a "rabbit start"
