%% Takes a member out of whatever streams have on it, while it still runs and votes: its replicas of the streams that
%% have others, and its place in the Raft group of the streams' coordinator. On Mnesia a forget deletes every stream
%% that is led from the forgotten node at that moment, copies elsewhere or not, and a coordinator of two that loses one
%% never works again (measured on 3.10). Asked again it finds nothing left to do. The rules of probe.erl hold.
Node = list_to_atom("NODE"),
[catch rabbit_stream_queue:delete_replica(VH, Nm, Node) || VH <- rabbit_vhost:list_names(), Q <- rabbit_amqqueue:list(VH),
  amqqueue:get_type(Q) =:= rabbit_stream_queue, {ok, Ns} <- [maps:find(nodes, amqqueue:get_type_state(Q))], lists:member(Node, Ns), length(Ns) > 1,
  {resource, _, _, Nm} <- [amqqueue:get_name(Q)]],
C = fun(N) -> {rabbit_stream_coordinator, N} end,
%% A leader that was elected just now takes no change yet.
Out = fun Out(Tries) -> {ok, Ms, L} = ra:members(C(node()), 10000),
  case lists:member(C(Node), Ms) andalso length(Ms) > 1 of
    false -> ok;
    true -> case ra:remove_member(L, C(Node)) of {ok, _, _} -> ok; _ when Tries > 0 -> timer:sleep(1000), Out(Tries - 1) end
  end end,
case whereis(rabbit_stream_coordinator) of undefined -> ok; _ -> Out(10) end.
