package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/list/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

var (
	_ list.ListResource              = (*memberList)(nil)
	_ list.ListResourceWithConfigure = (*memberList)(nil)
)

func newMemberList() list.ListResource { return &memberList{} }

// memberList lists the members of a running cluster, for terraform query and the configuration that it generates.
type memberList struct{ resourceSession }

func (l *memberList) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cluster_member"
}

func (l *memberList) ListResourceConfigSchema(_ context.Context, _ list.ListResourceSchemaRequest, resp *list.ListResourceSchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Lists the members of a running cluster, as one of them tells of it, for `terraform query` and the configuration and import blocks that it generates.",
		Attributes: map[string]schema.Attribute{
			"node": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "The Erlang node name of any member that runs (`rabbit@rmq1`).",
				Validators:          []validator.String{nodeNameValidator{}},
			},
			"host": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Name or address by which its host is reached with SSH. Default: what stands after the `@` of the node name. " +
					"When it is an address, the others are listed with the addresses that this host has for them; otherwise with the host parts of their names.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
		},
	}
}

func (l *memberList) List(ctx context.Context, req list.ListRequest, stream *list.ListResultsStream) {
	var config memberIdentity
	diags := req.Config.Get(ctx, &config)
	if diags.HasError() {
		stream.Results = list.ListResultsStreamDiagnostics(diags)
		return
	}
	hosts, name, reading, err := l.members(ctx, config)
	if err != nil {
		fail(&diags, "list the members of the cluster of "+config.Node.ValueString(), err)
		stream.Results = list.ListResultsStreamDiagnostics(diags)
		return
	}
	nodes := slices.Sorted(maps.Keys(reading.Members))
	if req.Limit > 0 && int64(len(nodes)) > req.Limit {
		nodes = nodes[:req.Limit]
	}
	stream.Results = func(push func(list.ListResult) bool) {
		for _, node := range nodes {
			if !push(l.result(ctx, req, node, hosts, name, reading.Members[node])) {
				return
			}
		}
	}
}

// members asks the named member for the others and where they are, and how each of them is.
func (l *memberList) members(ctx context.Context, config memberIdentity) (hosts map[string]string, name string, reading topology.Reading, err error) {
	node, address := config.Node.ValueString(), config.Host.ValueString()
	if address == "" {
		address = rabbitmq.HostPart(node)
	}
	if hosts, name, err = l.session.discover(ctx, node, address); err != nil {
		return nil, "", topology.Reading{}, err
	}
	hosts[node] = address
	nodes, known := map[string]memberModel{}, map[string]topology.Type{}
	for member, host := range hosts {
		nodes[member], known[member] = imported(host), topology.Disc
	}
	fleet, err := l.session.fleet(nodes, nil, false)
	if err != nil {
		return nil, "", topology.Reading{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	reading, err = fleet.Read(ctx, known, false)
	return hosts, name, reading, err
}

// result is one member as an import of it would find it.
func (l *memberList) result(ctx context.Context, req list.ListRequest, node string, hosts map[string]string, name string, member topology.Member) list.ListResult {
	result := req.NewListResult(ctx)
	state := "running"
	if !member.Running {
		state = "not running"
	}
	result.DisplayName = fmt.Sprintf("%s (%s, %s)", node, member.Type, state)
	host := types.StringValue(hosts[node])
	if hosts[node] == "" { // joined since the others were asked for
		host = types.StringValue(rabbitmq.HostPart(node))
	}
	result.Diagnostics.Append(result.Identity.Set(ctx, memberIdentity{Node: types.StringValue(node), Host: host})...)
	if !req.IncludeResource {
		return result
	}
	for attribute, value := range map[string]any{
		"node": node, "host": host, "type": string(member.Type), "peers": peersAt(hosts), "allow_data_loss": false,
		"running": member.Running, "cluster_name": name,
	} {
		result.Diagnostics.Append(result.Resource.SetAttribute(ctx, path.Root(attribute), value)...)
	}
	return result
}
