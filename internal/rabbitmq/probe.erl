%% Everything the provider reads about one node, in one expression. It answers on RabbitMQ 3.8 to 4.3, also with
%% the rabbit application stopped or booting, and changes nothing. Rules for this file: no dollar sign, backtick,
%% backslash, exclamation mark or single quote, so that every shell on the way leaves it alone; comments on lines
%% of their own. WANT is replaced by a list of the optional sections: inventory, peers, replicas. OF is replaced by the
%% nodes that are asked: only the first of them that runs in a cluster gives the inventory, or anyone when it is empty.
%% HOSTS is replaced by a list of host names that the node is asked to resolve.
Want = WANT,
Of = OF,
Hosts = HOSTS,
T = fun(F, D) -> try F() catch _:_ -> D end end,
X = fun(M, F, A) -> code:ensure_loaded(M), erlang:function_exported(M, F, A) end,
B = fun(V) when is_atom(V) -> atom_to_binary(V, utf8); (V) when is_binary(V) -> V; (V) when is_list(V) -> unicode:characters_to_binary(V); (V) -> unicode:characters_to_binary(io_lib:format("~0p", [V])) end,
Bs = fun(L) -> [B(V) || V <- L] end,
Run = T(fun() -> rabbit:is_running() end, false),
Kh = T(fun() -> rabbit_khepri:is_enabled() end, not X(rabbit_mnesia, status, 0)),
St = T(fun() -> case X(rabbit_db_cluster, cli_cluster_status, 0) of true -> rabbit_db_cluster:cli_cluster_status(); false -> rabbit_mnesia:status() end end, []),
Ns = proplists:get_value(nodes, St, []),
%% Mnesia keeps the member list in a file of its own, which is still right while the node boots and waits.
Lk = T(fun() -> {All, _, _} = rabbit_node_monitor:read_cluster_status(), All end, []),
%% The Raft state of this member of the metadata store: pre_vote or candidate means that it has no majority.
Raft = case Kh andalso Run of true -> T(fun() -> [S] = [proplists:get_value(<<"Raft State">>, P) || P <- rabbit_khepri:status(), proplists:get_value(<<"Node Name">>, P) =:= node()], B(S) end, <<>>); false -> <<>> end,
%% lookup_global does not create a missing id; rabbit_nodes:persistent_cluster_id would.
Id = case Run of true -> T(fun() -> B(proplists:get_value(value, rabbit_runtime_parameters:lookup_global(internal_cluster_id))) end, <<>>); false -> <<>> end,
Home = fun(Q) -> T(fun() -> case amqqueue:get_pid(Q) of P when is_pid(P) -> node(P); {_, N} -> N; _ -> none end end, none) end,
%% The replicas of a quorum queue or stream.
Reps = fun(Q) -> T(fun() -> case maps:get(nodes, amqqueue:get_type_state(Q), []) of L when is_list(L) -> L; M when is_map(M) -> maps:keys(M) end end, []) end,
%% Where copies of a queue are: the home and the synchronised mirrors of a classic queue, the replicas of any other.
Copies = fun(Q) -> Rs = Reps(Q), Ms = T(fun() -> [node(P) || P <- amqqueue:get_sync_slave_pids(Q)] end, []), lists:usort(case Rs of [] -> [Home(Q) | Ms]; _ -> Rs end) end,
Queues = fun(VH) -> lists:usort(rabbit_amqqueue:list(VH) ++ T(fun() -> rabbit_amqqueue:list_down(VH) end, [])) end,
%% Counting messages asks the node that leads each queue, so it stops being cheap at some point: beyond it, -1.
Count = fun(Q, true) -> T(fun() -> [{messages, Mc}] = rpc:call(Home(Q), rabbit_amqqueue, info, [Q, [messages]], 5000), true = is_integer(Mc), Mc end, -1); (_, false) -> -1 end,
Group = fun(Q, Counted, Acc) ->
  Key = {B(T(fun() -> amqqueue:get_type(Q) end, unknown)), Copies(Q), T(fun() -> is_pid(amqqueue:get_exclusive_owner(Q)) end, false)},
  Mc = Count(Q, Counted), {resource, VH, _, Nm} = amqqueue:get_name(Q),
  {N0, M0, U0, L0} = maps:get(Key, Acc, {0, 0, 0, []}),
  L1 = lists:sublist(lists:sort(fun({A1, _, _}, {A2, _, _}) -> A1 >= A2 end, [{Mc, VH, Nm} | L0]), 10),
  maps:put(Key, {N0 + 1, M0 + max(Mc, 0), U0 + case Mc of -1 -> 1; _ -> 0 end, L1}, Acc) end,
Inventory = fun() -> VHs = rabbit_vhost:list_names(),
  Qs = lists:append([Queues(V) || V <- VHs]), Counted = length(Qs) =< 5000,
  Gs = lists:foldl(fun(Q, Acc) -> Group(Q, Counted, Acc) end, maps:new(), Qs),
  #{vhosts => VHs, users => [proplists:get_value(user, U) || U <- rabbit_auth_backend_internal:list_users()],
  default_vhost => B(T(fun() -> {ok, V} = application:get_env(rabbit, default_vhost), V end, <<"/">>)),
  default_user => B(T(fun() -> {ok, V} = application:get_env(rabbit, default_user), V end, <<"guest">>)),
  queues => [#{type => Ty, copies => Bs(Cs), exclusive => Ex, count => N, messages => M, uncounted => U, largest => [#{vhost => V, name => Nm, messages => Mc} || {Mc, V, Nm} <- L]} || {{Ty, Cs, Ex}, {N, M, U, L}} <- maps:to_list(Gs)],
  exchanges => [#{vhost => V, name => N} || V <- VHs, I <- rabbit_exchange:info_all(V, [name]), N <- [element(4, proplists:get_value(name, I))], N =/= <<>>, not (size(N) > 3 andalso binary:part(N, 0, 4) =:= <<"amq.">>)],
  bindings => length([1 || V <- VHs, Bi <- rabbit_binding:list(V), element(4, element(2, Bi)) =/= <<>>]),
  policies => length(rabbit_policy:list()) + T(fun() -> length(rabbit_policy:list_op()) end, 0),
  parameters => length(rabbit_runtime_parameters:list()),
  global_parameters => Bs([proplists:get_value(name, P) || P <- rabbit_runtime_parameters:list_global()])} end,
%% What each running member lacks a replica of. A queue whose replicas do not run in their majority cannot grow.
Lacking = fun(Up) ->
  Qs = [{T(fun() -> amqqueue:get_type(Q) end, unknown), amqqueue:get_name(Q), Reps(Q)} || VH <- rabbit_vhost:list_names(), Q <- Queues(VH)],
  Can = [{Ty, Nm, Rs} || {Ty, Nm, Rs} <- Qs, 2 * length([R || R <- Rs, lists:member(R, Up)]) > length(Rs)],
  [#{node => B(N), quorum => length([1 || {rabbit_quorum_queue, _, Rs} <- Can, not lists:member(N, Rs)]),
     streams => [#{vhost => VH, name => Nm} || {rabbit_stream_queue, {resource, VH, _, Nm}, Rs} <- Can, not lists:member(N, Rs)]} || N <- Up] end,
First = fun(Up) -> case lists:sort([N || N <- Of, lists:member(N, Up)]) of [] -> Of =:= []; [N | _] -> N =:= B(node()) end end,
Peers = fun() -> {ok, {L, _}} = rabbit_peer_discovery:discover_cluster_nodes(), Bs(L) end,
Resolve = fun(H) -> #{host => B(H), addresses => Bs([inet:ntoa(A) || Fam <- [inet, inet6], A <- T(fun() -> {ok, As} = inet:getaddrs(H, Fam), As end, [])])} end,
%% The addresses of the machine's own interfaces, loopback included.
Own = fun() -> {ok, Ifs} = inet:getifaddrs(), Bs(lists:usort([inet:ntoa(A) || {_, Os} <- Ifs, {addr, A} <- Os])) end,
R = #{node => B(node()), running => Run, booting => T(fun() -> rabbit:is_booting() end, false),
%% The process that waits to start the application again after RabbitMQ stopped it itself (rabbit_node_monitor).
  paused => not Run andalso is_pid(whereis(rabbit_outside_app_process)),
  lacking => case Run andalso lists:member(replicas, Want) of true -> T(fun() -> Lacking(proplists:get_value(running_nodes, St, [])) end, error); false -> null end,
  store => case Kh of true -> khepri; _ -> mnesia end, raft_state => Raft,
  version => B(T(fun() -> rabbit:product_version() end, T(fun() -> element(2, application:get_key(rabbit, vsn)) end, <<>>))),
  otp => B(erlang:system_info(otp_release)),
  disc => Bs(proplists:get_value(disc, Ns, [])), ram => Bs(proplists:get_value(ram, Ns, [])), last_known => Bs(Lk),
  running_nodes => Bs(proplists:get_value(running_nodes, St, [])),
  cluster_name => B(proplists:get_value(cluster_name, St, <<>>)), cluster_id => Id,
  partitions => [#{node => B(N), from => Bs(P)} || {N, P} <- proplists:get_value(partitions, St, [])],
  cookie_hash => base64:encode(erlang:md5(atom_to_list(erlang:get_cookie()))),
  maintenance => B(T(fun() -> rabbit_maintenance:status_local_read(node()) end, <<>>)),
  data_dir => B(T(fun() -> rabbit:data_dir() end, T(fun() -> rabbit_mnesia:dir() end, <<>>))),
  boot => B(T(fun() -> {ok, Bt} = file:read_file("/proc/sys/kernel/random/boot_id"), hd(binary:split(Bt, <<10>>)) end, <<>>)),
  resolves => [Resolve(H) || H <- Hosts], addresses => case Hosts of [] -> []; _ -> T(Own, []) end,
  peers => case Run andalso lists:member(peers, Want) of true -> T(Peers, error); false -> null end,
  inventory => case Run andalso lists:member(inventory, Want) andalso First(Bs(proplists:get_value(running_nodes, St, []))) of true -> T(Inventory, error); false -> null end},
io:put_chars(["MARKER", rabbit_json:encode(R), 10]).
