%% Everything the provider reads about one node, in one expression. It answers on RabbitMQ 3.8 to 4.3, also with
%% the rabbit application stopped or booting, and changes nothing. Rules for this file: no dollar sign, backtick,
%% backslash, exclamation mark or single quote, so that every shell on the way leaves it alone; comments on lines
%% of their own. What follows a line "for: NAMES" is left out unless one of these sections was asked for, up to the next
%% such line: reading and evaluating what nobody asked for would cost the node more than the answer. WANT is replaced by
%% the list of the sections: inventory, peers, replicas, overview, hints, lag, work, flags, resolve. OF is replaced by the
%% nodes that are asked: only the first of them that runs in a cluster gives the inventory, or anyone when it is empty.
%% HOSTS is replaced by a list of host names that the node is asked to resolve.
Want = WANT,
Of = OF,
Hosts = HOSTS,
T = fun(F, D) -> try F() catch _:_ -> D end end,
%% Whether there is a function. The code server looks for a module that is not there in a hundred directories.
Mods = T(fun() -> {ok, Ms} = application:get_key(rabbit, modules), Ms end, []),
X = fun(M, F, A) -> (Mods =:= [] orelse lists:member(M, Mods)) andalso code:ensure_loaded(M) =/= none andalso erlang:function_exported(M, F, A) end,
B = fun(V) when is_atom(V) -> atom_to_binary(V, utf8); (V) when is_binary(V) -> V; (V) when is_list(V) -> unicode:characters_to_binary(V); (V) -> unicode:characters_to_binary(io_lib:format("~0p", [V])) end,
Bs = fun(L) -> [B(V) || V <- L] end,
Run = T(fun() -> rabbit:is_running() end, false),
Kh = T(fun() -> true = X(rabbit_khepri, is_enabled, 0), rabbit_khepri:is_enabled() end, not X(rabbit_mnesia, status, 0)),
St = T(fun() -> case X(rabbit_db_cluster, cli_cluster_status, 0) of true -> rabbit_db_cluster:cli_cluster_status(); false -> rabbit_mnesia:status() end end, []),
Ns = proplists:get_value(nodes, St, []),
%% Khepri: a host that was rebuilt blank under the name of a member is listed as running by its peers (measured on 4.3).
%% Who runs must list this node as well; who does not answer is taken at its peers' word.
Seen = proplists:get_value(running_nodes, St, []),
Alive = case Kh andalso Run of true -> T(fun() -> Os = Seen -- [node()], Seen -- [N || {N, {ok, L}} <- lists:zip(Os, erpc:multicall(Os, rabbit_nodes, list_members, [], 3000)), not lists:member(node(), L)] end, Seen); false -> Seen end,
%% Mnesia keeps the member list in a file of its own, which is still right while the node boots and waits.
Lk = T(fun() -> {All, _, _} = rabbit_node_monitor:read_cluster_status(), All end, []),
%% The Raft state of this member of the metadata store: pre_vote or candidate means that it has no majority.
Raft = case Kh andalso Run of true -> T(fun() -> [S] = [proplists:get_value(<<"Raft State">>, P) || P <- rabbit_khepri:status(), proplists:get_value(<<"Node Name">>, P) =:= node()], B(S) end, <<>>); false -> <<>> end,
%% lookup_global does not create a missing id; rabbit_nodes:persistent_cluster_id would.
Id = case Run of true -> T(fun() -> B(proplists:get_value(value, rabbit_runtime_parameters:lookup_global(internal_cluster_id))) end, <<>>); false -> <<>> end,
%% for: inventory replicas lag
%% The replicas of a quorum queue or stream.
Reps = fun(Q) -> T(fun() -> case maps:get(nodes, amqqueue:get_type_state(Q), []) of L when is_list(L) -> L; M when is_map(M) -> maps:keys(M) end end, []) end,
Queues = fun(VH) -> lists:usort(rabbit_amqqueue:list(VH) ++ T(fun() -> rabbit_amqqueue:list_down(VH) end, [])) end,
%% for: inventory lag
Home = fun(Q) -> T(fun() -> case amqqueue:get_pid(Q) of P when is_pid(P) -> node(P); {_, N} -> N; _ -> none end end, none) end,
%% Where copies of a queue are: the home and the synchronised mirrors of a classic queue, the replicas of any other.
Copies = fun(Q) -> Rs = Reps(Q), Ms = T(fun() -> [node(P) || P <- amqqueue:get_sync_slave_pids(Q)] end, []), lists:usort(case Rs of [] -> [Home(Q) | Ms]; _ -> Rs end) end,
%% for: inventory
%% Counting messages asks the node that leads each queue, so it stops being cheap at some point. Beyond it the statistics
%% of each node tell, which are some seconds old: one question to a node, for the queues that are not empty. Their match
%% has names with a dollar sign, which are made here.
Metrics = fun() -> D = fun(N) -> list_to_atom([36 | integer_to_list(N)]) end, U = list_to_atom("_"),
  Spec = [{{D(1), U, U, D(2), U}, [{list_to_atom(">"), D(2), 0}], [{{D(1), D(2)}}]}],
  maps:from_list(lists:append([L || N <- [node() | nodes()], L <- [rpc:call(N, ets, select, [queue_coarse_metrics, Spec], 20000)], is_list(L)])) end,
Count = fun(Q, asked) -> T(fun() -> [{messages, Mc}] = rpc:call(Home(Q), rabbit_amqqueue, info, [Q, [messages]], 5000), true = is_integer(Mc), Mc end, -1);
  (Q, Stats) -> case lists:member(Home(Q), [node() | nodes()]) of true -> maps:get(amqqueue:get_name(Q), Stats, 0); false -> -1 end end,
%% Replicas of a quorum queue that do not work although their node runs: all of those that are left without a leader and
%% too few to elect one, also before they find that out themselves. A node that does not tell counts as working.
ReplicaStates = fun() -> {Rs, _} = rpc:multicall([node() | nodes()], rabbit_quorum_queue, all_replica_states, [], 5000), maps:from_list([{N, Sts} || {N, Sts} <- Rs, is_map(Sts)]) end,
Lame = fun(Q, Cs, Live) -> case amqqueue:get_pid(Q) of {Name, _} ->
    Sts = [{N, maps:get(Name, maps:get(N, Live, #{Name => follower}), none)} || N <- Cs, lists:member(N, Alive)],
    Up = [N || {N, S} <- Sts, lists:member(S, [leader, follower, promotable, non_voter])],
    case lists:keymember(leader, 2, Sts) orelse 2 * length(Up) > length(Cs) of true -> [N || {N, _} <- Sts] -- Up; false -> [N || {N, _} <- Sts] end; _ -> [] end end,
Group = fun(Q, Counted, Live, Acc) ->
  Cs0 = Copies(Q),
  Key = {B(T(fun() -> amqqueue:get_type(Q) end, unknown)), Cs0, T(fun() -> Lame(Q, Cs0, Live) end, []), T(fun() -> is_pid(amqqueue:get_exclusive_owner(Q)) end, false)},
  Mc = Count(Q, Counted), {resource, VH, _, Nm} = amqqueue:get_name(Q),
  {N0, M0, U0, L0} = maps:get(Key, Acc, {0, 0, 0, []}),
  L1 = lists:sublist(lists:sort(fun({A1, _, _}, {A2, _, _}) -> A1 >= A2 end, [{Mc, VH, Nm} | L0]), 10),
  maps:put(Key, {N0 + 1, M0 + max(Mc, 0), U0 + case Mc of -1 -> 1; _ -> 0 end, L1}, Acc) end,
%% Counts and the first names: a broker may have a hundred thousand of anything.
Some = fun(L) -> #{count => length(L), names => lists:sublist(L, 20)} end,
Inventory = fun() -> VHs = rabbit_vhost:list_names(),
  Qs = lists:append([Queues(V) || V <- VHs]), Counted = case length(Qs) =< 2000 of true -> asked; false -> T(Metrics, maps:new()) end, Live = T(ReplicaStates, maps:new()),
  Gs = lists:foldl(fun(Q, Acc) -> Group(Q, Counted, Live, Acc) end, maps:new(), Qs),
  DefV = B(T(fun() -> {ok, V} = application:get_env(rabbit, default_vhost), V end, <<"/">>)),
  DefU = B(T(fun() -> {ok, U} = application:get_env(rabbit, default_user), U end, <<"guest">>)),
  Binds = fun(V) -> length([1 || Bi <- rabbit_binding:list(V), element(4, element(2, Bi)) =/= <<>>]) end,
  #{vhosts => Some(lists:delete(DefV, VHs)), users => Some(lists:delete(DefU, [proplists:get_value(user, U) || U <- rabbit_auth_backend_internal:list_users()])),
  default_vhost => DefV, default_user => DefU,
  queues => [#{type => Ty, copies => Bs(Cs), lame => Bs(La), exclusive => Ex, count => N, messages => M, uncounted => U, largest => [#{vhost => V, name => Nm, messages => Mc} || {Mc, V, Nm} <- L]} || {{Ty, Cs, La, Ex}, {N, M, U, L}} <- maps:to_list(Gs)],
  exchanges => Some([<<N/binary, " in ", V/binary>> || V <- VHs, I <- rabbit_exchange:info_all(V, [name]), N <- [element(4, proplists:get_value(name, I))], N =/= <<>>, not (size(N) > 3 andalso binary:part(N, 0, 4) =:= <<"amq.">>)]),
  bindings => lists:sum([Binds(V) || V <- VHs]),
  policies => length(rabbit_policy:list()) + T(fun() -> length(rabbit_policy:list_op()) end, 0),
  parameters => length(rabbit_runtime_parameters:list()),
  %% Every node has some of these by itself.
  global_parameters => Some([N || P <- rabbit_runtime_parameters:list_global(), N <- [B(proplists:get_value(name, P))], not lists:member(N, [<<"cluster_name">>, <<"internal_cluster_id">>, <<"cluster_tags">>, <<"imported_definition_hash_value">>])])} end,
First = fun(Up) -> case lists:sort([N || N <- Of, lists:member(N, Up)]) of [] -> Of =:= []; [N | _] -> N =:= B(node()) end end,
%% for: replicas
%% What each running member lacks a replica of. A queue whose replicas do not run in their majority cannot grow.
Lacking = fun(Up) ->
  Qs = [{T(fun() -> amqqueue:get_type(Q) end, unknown), amqqueue:get_name(Q), Reps(Q)} || VH <- rabbit_vhost:list_names(), Q <- Queues(VH)],
  Can = [{Ty, Nm, Rs} || {Ty, Nm, Rs} <- Qs, 2 * length([R || R <- Rs, lists:member(R, Up)]) > length(Rs)],
  [#{node => B(N), quorum => length([1 || {rabbit_quorum_queue, _, Rs} <- Can, not lists:member(N, Rs)]),
     streams => [#{vhost => VH, name => Nm} || {rabbit_stream_queue, {resource, VH, _, Nm}, Rs} <- Can, not lists:member(N, Rs)]} || N <- Up] end,
%% for: work
%% What others have this node do right now: a process that answers to another node, or that works for erl_call, with one of
%% these functions on its stack. It goes on when whoever asked for it has ended, and shows here then as well. The last mark is
%% cut short, so that no list of processes shows this question as the change that streams.erl makes.
Marks = [{<<"(rabbit:stop/">>, <<"stop_app">>}, {<<"(rabbit:start/">>, <<"start_app">>}, {<<"(rabbit:start_it/">>, <<"start_app">>},
  {<<"(rabbit_mnesia:join_cluster/">>, <<"join_cluster">>}, {<<"(rabbit_db_cluster:join/">>, <<"join_cluster">>}, {<<"(rabbit_mnesia:forget_cluster_node/">>, <<"forget_cluster_node">>},
  {<<"(rabbit_db_cluster:forget_member/">>, <<"forget_cluster_node">>}, {<<"(rabbit_mnesia:reset/">>, <<"reset">>}, {<<"(rabbit_db:reset/">>, <<"reset">>},
  {<<"(rabbit_mnesia:force_reset/">>, <<"force_reset">>}, {<<"(rabbit_db:force_reset/">>, <<"force_reset">>},
  {<<"(rabbit_mnesia:change_cluster_node_type/">>, <<"change_cluster_node_type">>}, {<<"(rabbit_db_cluster:change_node_type/">>, <<"change_cluster_node_type">>},
  {<<"(rabbit_nodes:set_cluster_name/">>, <<"set_cluster_name">>}, {<<"(rabbit_quorum_queue:shrink_all/">>, <<"shrink">>}, {<<"(rabbit_quorum_queue:grow/">>, <<"grow">>},
  {<<"stream_queue:delete_replica/">>, <<"delete_replica">>}],
%% What erl_call asks for is done by a process that rex, the server for such calls, watches.
Called = T(fun() -> {monitors, Rex} = process_info(whereis(rex), monitors), [P || {process, P} <- Rex] end, []),
%% A process that answers to another node has its group leader there. All are asked for theirs by maps:map, and looked at
%% one by one only when there is a leader elsewhere: each step of an expression costs the node as much as a hundred compiled
%% ones. A backtrace has the whole stack, current_stacktrace its eight uppermost calls.
Work = fun() -> Ps = lists:delete(self(), processes()), Led = maps:map(fun erlang:process_info/2, maps:from_list(lists:zip(Ps, lists:duplicate(length(Ps), group_leader)))),
  Away = [G || {group_leader, G} <- lists:usort(maps:values(Led)), node(G) =/= node()],
  lists:usort([[C, " for ", B(node(G))] || {P, {group_leader, G}} <- maps:to_list(case Away of [] -> maps:with(Called, Led); _ -> Led end), lists:member(G, Away) orelse lists:member(P, Called),
  {backtrace, Bt} <- [process_info(P, backtrace)], {Mark, C} <- Marks, binary:match(Bt, Mark) =/= nomatch]) end,
%% for: peers
Peers = fun() -> {ok, {L, _}} = rabbit_peer_discovery:discover_cluster_nodes(), Bs(L) end,
%% for: resolve
Resolve = fun(H) -> #{host => B(H), addresses => Bs([inet:ntoa(A) || Fam <- [inet, inet6], A <- T(fun() -> {ok, As} = inet:getaddrs(H, Fam), As end, [])])} end,
%% The addresses of the machine's own interfaces, loopback included.
Own = fun() -> {ok, Ifs} = inet:getifaddrs(), Bs(lists:usort([inet:ntoa(A) || {_, Os} <- Ifs, {addr, A} <- Os])) end,
%% for: overview
%% What one member can tell of all that run, asked over the links between them.
Rpc = fun(N, M, F, A, D) -> case T(fun() -> rpc:call(N, M, F, A, 5000) end, {badrpc, failed}) of {badrpc, _} -> D; V -> V end end,
Listens = fun({listener, _, P, _, Ip, Port, _}) -> #{protocol => B(P), port => Port, interface => B(T(fun() -> case Ip of {_, _, _, _} -> inet:ntoa(Ip); _ -> "[" ++ inet:ntoa(Ip) ++ "]" end end, <<>>))} end,
Member = fun(N) -> #{node => B(N), erlang => B(Rpc(N, rabbit_misc, otp_release, [], <<>>)),
  version => B(Rpc(N, rabbit, product_version, [], Rpc(N, rabbit_misc, version, [], <<>>))),
  maintenance => B(Rpc(N, rabbit_maintenance, status_local_read, [N], unknown)),
  uptime => case Rpc(N, erlang, statistics, [wall_clock], none) of {Ms, _} -> Ms div 1000; _ -> -1 end,
  listeners => T(fun() -> [Listens(L) || L <- Rpc(N, rabbit_networking, node_listeners, [N], error)] end, null)} end,
Get = fun(K, I) when is_map(I) -> maps:get(K, I); (K, I) -> proplists:get_value(K, I) end,
Overview = fun() -> #{members => [Member(N) || N <- proplists:get_value(running_nodes, St, [])],
  alarms => lists:usort([case A of {{resource_limit, Rs, N}, _} -> #{node => B(N), resource => B(Rs)}; {Rs, _} -> #{node => B(node()), resource => B(Rs)} end || A <- rabbit_alarm:get_alarms()]),
  feature_flags => maps:from_list([{B(Get(name, I)), B(Get(state, I))} || I <- rabbit_ff_extra:cli_info()])} end,
%% for: hints
%% Settings by which a blank node joins somebody at its start. Only their names: some of the values are secrets.
Settings = fun(F) -> {ok, Text} = file:read_file(F), Ls = [string:trim(L) || L <- binary:split(Text, <<10>>, [global])],
  [#{file => B(F), setting => string:trim(hd(binary:split(L, <<"=">>)))} || L <- Ls, string:prefix(L, "cluster_formation.") =/= nomatch] ++
  [#{file => B(F), setting => <<"cluster_nodes">>} || L <- Ls, string:find(L, "cluster_nodes") =/= nomatch, string:prefix(L, "%") =:= nomatch, string:prefix(L, "#") =:= nomatch] end,
Hints = fun() -> #{backend => B(T(fun() -> rabbit_peer_discovery:backend() end, <<>>)),
  settings => lists:append([T(fun() -> Settings(F) end, []) || P <- ["/etc/rabbitmq/*.conf", "/etc/rabbitmq/conf.d/*.conf", "/etc/rabbitmq/*.config"], F <- filelib:wildcard(P)])} end,
%% for: lag
%% How far this node's replicas are behind their leaders.
Index = fun(P) -> case proplists:get_value(<<"Last Written">>, P, proplists:get_value(<<"Log Index">>, P, -1)) of I when is_integer(I) -> I; _ -> -1 end end,
Quorum = fun(Q) -> {resource, VH, _, Nm} = amqqueue:get_name(Q), Ps = T(fun() -> [_ | _] = L = rabbit_quorum_queue:status(VH, Nm), L end, []),
  Mine = lists:append([P || P <- Ps, proplists:get_value(<<"Node Name">>, P) =:= node()]), Lead = lists:append([P || P <- Ps, proplists:get_value(<<"Raft State">>, P) =:= leader]),
  #{vhost => VH, name => Nm, has => Index(Mine), leader => case proplists:get_value(<<"Commit Index">>, Lead) of C when is_integer(C) -> C; _ -> -3 end} end,
Offset = fun(P) -> case proplists:get_value(committed_offset, P, proplists:get_value(offset, P)) of I when is_integer(I) -> I; _ -> -1 end end,
Stream = fun(Q) -> {resource, VH, _, Nm} = amqqueue:get_name(Q), Ps = T(fun() -> [_ | _] = L = rabbit_stream_queue:status(VH, Nm), L end, []),
  Mine = [P || P <- Ps, proplists:get_value(node, P) =:= node()], Lead = [P || P <- Ps, proplists:get_value(role, P) =:= writer],
  #{vhost => VH, name => Nm, has => case Mine of [O] -> Offset(O); _ -> -3 end, leader => case Lead of [W] -> Offset(W); _ -> -3 end} end,
Lag = fun() -> [case T(fun() -> amqqueue:get_type(Q) end, classic) of rabbit_stream_queue -> Stream(Q); _ -> Quorum(Q) end || VH <- rabbit_vhost:list_names(), Q <- Queues(VH),
  lists:member(T(fun() -> amqqueue:get_type(Q) end, classic), [rabbit_quorum_queue, quorum, rabbit_stream_queue]), lists:member(node(), Copies(Q))] end,
%% for: all
%% Whether the registry of feature flags may be asked. Before the boot has built it, whoever asks builds it, and then two
%% wait for each other: on 3.10 the boot never ends, because the one it has to wait for is the one who asked.
Askable = T(fun() -> rabbit_ff_registry:is_registry_initialized() end, false),
%% for: flags
%% The feature flags that the node knows, as the check of a join sees them: since 3.13 deprecated features are among them.
Flags = fun() -> true = Askable, Reg = case X(rabbit_ff_registry_wrapper, list, 1) of true -> rabbit_ff_registry_wrapper; false -> rabbit_ff_registry end,
  On = Reg:list(enabled),
  #{applications => Bs([A || {A, _, _} <- application:loaded_applications()]),
  known => [#{name => B(N), application => B(maps:get(provided_by, P, rabbit)), kind => B(maps:get(stability, P, deprecated)), on => maps:is_key(N, On)} || {N, P} <- maps:to_list(Reg:list(all))]} end,
%% for: all
%% The cookie file as the node itself finds it, which is the account that has to be able to read it. These are fields of
%% the record file_info: mode and uid.
Cookie = T(fun() -> {ok, [[Hm]]} = init:get_argument(home), Cf = filename:join(Hm, ".erlang.cookie"), {ok, Ci} = file:read_file_info(Cf), {ok, Me} = file:read_file_info("/proc/self"),
  #{path => B(Cf), mode => element(8, Ci) band 4095, own => element(13, Ci) =:= element(13, Me)} end, null),
%% What the node can do, asked of the code that would do it, so that versions nobody has seen yet answer for themselves.
Abilities = #{mnesia => X(rabbit_mnesia, status, 0),
  %% is_permitted would write a warning into the broker's log at each question.
  ram_nodes => not Kh andalso X(rabbit_mnesia, change_cluster_node_type, 1) andalso not (Askable andalso T(fun() -> rabbit_feature_flags:is_enabled(ram_node_type) end, false)),
  join_as_blank => X(rabbit_ff_controller, check_node_compatibility, 2)},
%% paused: the process that waits to start the application again after RabbitMQ stopped it itself (rabbit_node_monitor).
R = #{node => B(node()), running => Run, booting => T(fun() -> rabbit:is_booting() end, false),
  paused => not Run andalso is_pid(whereis(rabbit_outside_app_process)),
  store => case Kh of true -> khepri; _ -> mnesia end, raft_state => Raft,
  version => B(T(fun() -> rabbit:product_version() end, T(fun() -> element(2, application:get_key(rabbit, vsn)) end, <<>>))),
  otp => B(erlang:system_info(otp_release)),
  disc => Bs(proplists:get_value(disc, Ns, [])), ram => Bs(proplists:get_value(ram, Ns, [])), last_known => Bs(Lk),
  running_nodes => Bs(Alive), connected => Bs(nodes()),
  cluster_name => B(proplists:get_value(cluster_name, St, <<>>)), cluster_id => Id,
  partitions => [#{node => B(N), from => Bs(P)} || {N, P} <- proplists:get_value(partitions, St, [])],
  cookie_file => Cookie, cookie_hash => base64:encode(erlang:md5(atom_to_list(erlang:get_cookie()))),
  maintenance => B(T(fun() -> rabbit_maintenance:status_local_read(node()) end, <<>>)),
  data_dir => B(T(fun() -> rabbit:data_dir() end, T(fun() -> rabbit_mnesia:dir() end, <<>>))),
  boot => B(T(fun() -> {ok, Bt} = file:read_file("/proc/sys/kernel/random/boot_id"), hd(binary:split(Bt, <<10>>)) end, <<>>)),
%% for: resolve
  resolves => [Resolve(H) || H <- Hosts], addresses => T(Own, []),
%% for: flags
  flags => T(Flags, error),
%% for: work
  under_way => [unicode:characters_to_binary(W) || W <- T(Work, [])],
%% for: hints
  hints => T(Hints, error),
%% for: replicas
  lacking => case Run of true -> T(fun() -> Lacking(Alive) end, error); false -> null end,
%% for: peers
  peers => case Run of true -> T(Peers, error); false -> null end,
%% for: overview
  overview => case Run of true -> T(Overview, error); false -> null end,
%% for: lag
  lag => case Run of true -> T(Lag, error); false -> null end,
%% for: inventory
  inventory => case Run andalso First(Bs(Alive)) of true -> T(Inventory, error); false -> null end,
%% for: all
  can => Abilities},
io:put_chars(["MARKER", rabbit_json:encode(R), 10]).
