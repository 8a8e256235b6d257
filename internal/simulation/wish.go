package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// wish is what the configuration asks for.
type wish struct {
	single  bool // a rabbitmq_cluster_member for each, in place of one rabbitmq_cluster
	name    string
	loss    bool
	grow    bool // replicas = "grow"
	cookie  int  // a rabbitmq_erlang_cookie for each host; 0: none
	members map[string]string
}

// parseWish reads apply or apply-members, and what is wished: name=NAME, cookie=NUMBER, loss, and members as NODE or
// NODE:TYPE.
func parseWish(words []string) wish {
	w := wish{single: words[0] == "apply-members", members: map[string]string{}}
	for _, word := range words[1:] {
		node, kind, typed := strings.Cut(word, ":")
		switch key, value, _ := strings.Cut(word, "="); {
		case key == "name":
			w.name = value
		case key == "cookie":
			w.cookie, _ = strconv.Atoi(value)
		case word == "loss":
			w.loss = true
		case word == "grow":
			w.grow = true
		case typed:
			w.members[node] = kind
		default:
			w.members[node] = disc
		}
	}
	return w
}

// names are the wished members in order.
func (w wish) names() []string { return slices.Sorted(maps.Keys(w.members)) }

const (
	clusterAddress = "rabbitmq_cluster.this"
	memberAddress  = "rabbitmq_cluster_member.this[%q]"
	cookieAddress  = "rabbitmq_erlang_cookie.this[%q]"
)

// resources is the configuration of a wish. Hosts are named by the host parts of the node names.
func (w wish) resources(hosts []string) Resources {
	all := Resources{}
	if w.cookie > 0 {
		for _, node := range hosts {
			_, host, _ := strings.Cut(node, "@")
			all[fmt.Sprintf(cookieAddress, node)] = map[string]any{
				"host": host, "value_wo": fmt.Sprintf("SIMULATEDCOOKIE%d", w.cookie), "value_wo_version": w.cookie,
			}
		}
	}
	members := map[string]any{}
	for node, kind := range w.members {
		members[node] = map[string]any{"type": kind}
	}
	if !w.single {
		arguments := map[string]any{"members": members, "allow_data_loss": w.loss}
		if w.name != "" {
			arguments["name"] = w.name
		}
		if w.grow {
			arguments["replicas"] = "grow"
		}
		all[clusterAddress] = arguments
		return all
	}
	for node, kind := range w.members {
		all[fmt.Sprintf(memberAddress, node)] = map[string]any{
			"node": node, "type": kind, "peers": maps.Clone(members), "allow_data_loss": w.loss,
		}
	}
	return all
}
