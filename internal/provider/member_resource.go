package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

var (
	_ resource.Resource                = (*memberResource)(nil)
	_ resource.ResourceWithConfigure   = (*memberResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*memberResource)(nil)
	_ resource.ResourceWithImportState = (*memberResource)(nil)
	_ resource.ResourceWithIdentity    = (*memberResource)(nil)
)

func newMemberResource() resource.Resource { return &memberResource{} }

// memberResource is rabbitmq_cluster_member: one node's membership.
type memberResource struct{ resourceSession }

func (r *memberResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cluster_member"
	resp.ResourceBehavior.MutableIdentity = true // a host may get another address
}

func (r *memberResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	kind := typeAttribute()
	kind.Default = stringdefault.StaticString(string(topology.Disc))
	resp.Schema = schema.Schema{
		MarkdownDescription: "One node's membership of a RabbitMQ cluster. It is additive: it knows itself and the peers to join through, and leaves everybody else alone. A node that is a member already is adopted as it is.",
		Attributes: map[string]schema.Attribute{
			// Required attributes
			"node": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "The Erlang node name (`rabbit@rmq1`). It is the node's identity: a change replaces the member.",
				Validators:          []validator.String{nodeNameValidator{}},
				PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"peers": schema.MapNestedAttribute{
				Required:            true,
				MarkdownDescription: "The nodes to join through, by Erlang node name; the node itself is ignored when it is listed. The largest cluster among them is joined; when all of them stand alone, the first name is the founder that the others join.",
				NestedObject: schema.NestedAttributeObject{
					Attributes: map[string]schema.Attribute{
						"host": schema.StringAttribute{
							Optional:            true,
							MarkdownDescription: "Name or address by which the peer is reached with SSH. Default: what stands after the `@` of its name.",
							Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
						},
						"ssh": hostSSHAttribute(),
						"type": schema.StringAttribute{
							Optional:            true,
							MarkdownDescription: "Ignored, so that one map can serve `peers` and the members' own attributes.",
						},
						"rabbitmqctl": schema.ListAttribute{
							Optional:            true,
							ElementType:         types.StringType,
							MarkdownDescription: "Program and leading arguments that stand for `rabbitmqctl` on the peer's host. Default: the provider's.",
						},
						"service": schema.StringAttribute{
							Optional:            true,
							MarkdownDescription: "The systemd unit of the peer's broker. Default: `rabbitmq-server`.",
						},
						"service_commands": serviceCommandsAttribute(),
					},
				},
			},
			// Optional attributes
			"host":             hostAttribute(),
			"ssh":              hostSSHAttribute(),
			"type":             kind,
			"rabbitmqctl":      rabbitmqctlAttribute(),
			"service":          serviceAttribute(),
			"service_commands": serviceCommandsAttribute(),
			"allow_data_loss":  allowDataLossAttribute("joining while the node holds data or is in another cluster, leaving while it holds the only copy of a queue"),
			"replicas":         replicasAttribute("this member"),
			"timeouts":         timeoutsAttribute(ctx, true),
			// Computed attributes
			"running": schema.BoolAttribute{
				Computed:            true,
				MarkdownDescription: "Whether the node runs as a member. `false` is drift, and the next apply starts it.",
			},
			"cluster_name": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "The cluster's name as its members report it; until somebody sets one, members report different ones.",
			},
		},
	}
}

func (r *memberResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = memberIdentitySchema
}

// memberIdentitySchema identifies a member, or a cluster by one of its members.
var memberIdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
	"node": identityschema.StringAttribute{RequiredForImport: true, Description: "The Erlang node name."},
	"host": identityschema.StringAttribute{OptionalForImport: true, Description: "Name or address by which its host is reached, where it is not the host part of the node name."},
}}

// ModifyPlan fills in what follows from the configuration and, when membership would change, says what would happen.
func (r *memberResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.session == nil {
		return
	}
	if req.Plan.Raw.IsNull() {
		r.foreseeLeave(ctx, req, resp)
		return
	}
	var config, plan, state memberResourceModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if config.Host.IsNull() && !plan.Node.IsUnknown() {
		plan.Host = types.StringValue(rabbitmq.HostPart(plan.Node.ValueString()))
	}
	plan.Running = types.BoolValue(true)
	stays := !req.State.Raw.IsNull() && plan.Node.Equal(state.Node)
	unchanged := stays && plan.Type.Equal(state.Type) && plan.Running.Equal(state.Running) && !grows(plan.Replicas, state.Replicas)
	switch {
	case unchanged:
		plan.ClusterName = state.ClusterName
	case stays:
		plan.ClusterName = types.StringUnknown() // what an unnamed cluster is called depends on who runs
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
	if resp.Diagnostics.HasError() || plan.Node.IsUnknown() || plan.Peers.IsUnknown() {
		return
	}
	nodes, diags := plan.nodes(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	if r.session.unknown || !known(nodes) || plan.AllowDataLoss.IsUnknown() {
		return
	}
	r.session.claims.member(plan.Node.ValueString(), nodes, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	if ok := r.session.checkSettings(plan.self().host(plan.Node.ValueString()), path.Root("host"), &resp.Diagnostics); !ok || unchanged {
		return
	}
	if !stays && !req.State.Raw.IsNull() { // replaced: the CLI shows no warnings but this one's
		r.foreseeLeave(ctx, req, resp)
	}
	r.foresee(ctx, nodes, plan.wish(nodes), "bring in "+plan.Node.ValueString(), &resp.Diagnostics)
}

func (r *memberResource) foreseeLeave(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var state memberResourceModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	nodes, diags := state.nodes(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() || r.session.unknown {
		return
	}
	r.foresee(ctx, nodes, state.leaving(nodes), "take out "+state.Node.ValueString(), &resp.Diagnostics)
}

func (r *memberResource) foresee(ctx context.Context, nodes map[string]memberModel, wish topology.Wish, doing string, diags *diagnostics) {
	fleet, err := r.session.fleet(nodes, nil, false)
	if err != nil {
		fail(diags, doing, err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	steps, err := fleet.Preview(ctx, wish)
	foresee(diags, doing, true, steps, err)
}

func (r *memberResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan memberResourceModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	ctx, cancel := bound(ctx, plan.Timeouts.Create, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	if r.converge(ctx, &plan, true, &resp.Diagnostics) {
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity())...)
	}
}

// converge makes the node what plan says, alone among the resources of this run that share one of its nodes, and reads
// the outcome into plan.
func (r *memberResource) converge(ctx context.Context, plan *memberResourceModel, wait bool, diags *diagnostics) bool {
	node := plan.Node.ValueString()
	doing := "bring in " + node
	nodes, d := plan.nodes(ctx)
	diags.Append(d...)
	if diags.HasError() {
		return false
	}
	fleet, err := r.session.fleet(nodes, nil, wait)
	if err != nil {
		fail(diags, doing, err)
		return false
	}
	var reading topology.Reading
	for looks := 1; ; looks++ {
		release, err := r.session.locks.take(ctx, slices.Collect(maps.Keys(nodes)))
		if err != nil {
			fail(diags, doing, err)
			return false
		}
		reading, err = fleet.Converge(ctx, plan.wish(nodes))
		release()
		if err == nil {
			break
		}
		if !waitsForFounder(err) || looks == founderLooks {
			fail(diags, doing, err)
			return false
		}
		tflog.Info(ctx, doing+": waiting for the node to join, which does not run", map[string]any{"cause": err.Error()})
		select {
		case <-time.After(founderPause):
		case <-ctx.Done():
		}
	}
	member, found := reading.Members[node]
	if !found {
		diags.AddError("Unable to "+doing, fmt.Sprintf("%s is no member after everything was done, although no step failed. Please report this with the log of this run.", node))
		return false
	}
	name := reading.Name
	if !plan.ClusterName.IsUnknown() {
		name = plan.ClusterName.ValueString() // as planned: the next read finds it when it has changed just now
	}
	plan.take(member, name)
	return true
}

// A member waits for the node to join, which another resource of the run may be starting: it looks so often, with so
// much time between for the other one to have the nodes for itself.
const (
	founderLooks = 60
	founderPause = 2 * time.Second
)

// waitsForFounder tells whether nothing but the start of another node is missing.
func waitsForFounder(err error) bool {
	var refusal *topology.Refusal
	return errors.As(err, &refusal) && !slices.ContainsFunc(refusal.Reasons, func(r topology.Reason) bool { return r.Rule != topology.RuleFounder })
}

func (r *memberResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state memberResourceModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	// It must be there also when nothing is read and when the member is gone, and older CLIs do not keep it.
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity())...)
	if resp.Diagnostics.HasError() {
		return
	}
	if r.session.unreached("member", &resp.Diagnostics) {
		return
	}
	node := state.Node.ValueString()
	nodes, diags := state.nodes(ctx)
	resp.Diagnostics.Append(diags...)
	fleet, err := r.session.fleet(nodes, nil, false)
	if err != nil {
		fail(&resp.Diagnostics, "read "+node, err)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	member, reading, found, err := fleet.ReadMember(ctx, node, state.peers(nodes), state.Replicas.ValueString() == grow)
	if err != nil {
		fail(&resp.Diagnostics, "read "+node, unreadable(err, "rabbitmq_cluster_member"))
		return
	}
	warnOf(&resp.Diagnostics, reading)
	if !found {
		resp.State.RemoveResource(ctx) // proved: running members do not list it
		return
	}
	state.take(member, reading.Name)
	state.Replicas = readReplicas(state.Replicas, reading)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

func (r *memberResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan memberResourceModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	ctx, cancel := bound(ctx, plan.Timeouts.Update, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	// After a failure the state stays as it was read before: the next plan reads again and shows what is left.
	if r.converge(ctx, &plan, false, &resp.Diagnostics) {
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity())...)
	}
}

func (r *memberResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state memberResourceModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := bound(ctx, state.Timeouts.Delete, &resp.Diagnostics)
	defer cancel()
	nodes, diags := state.nodes(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	doing := "take out " + state.Node.ValueString()
	fleet, err := r.session.fleet(nodes, nil, false)
	if err != nil {
		fail(&resp.Diagnostics, doing, err)
		return
	}
	node, all := state.Node.ValueString(), places(nodes)
	defer r.session.leaving.begin(place(node, nodes[node]), departure{node, state.AllowDataLoss.ValueBool()})()
	release, err := r.session.locks.take(ctx, slices.Collect(maps.Keys(nodes)))
	if err != nil {
		fail(&resp.Diagnostics, doing, err)
		return
	}
	defer release()
	others := func() []string { return r.session.leaving.among(all, state.AllowDataLoss.ValueBool()) }
	if err := fleet.TakeOut(ctx, state.leaving(nodes), others); err != nil {
		fail(&resp.Diagnostics, doing, err)
	}
}

func (r *memberResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	identity := identityOf(ctx, req, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	node := identity.Node.ValueString()
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("node"), identity.Node)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("host"), identity.Host)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("allow_data_loss"), false)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("replicas"), none)...)
	peers := r.importPeers(ctx, node, identity.Host.ValueString(), &resp.Diagnostics)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("peers"), peers)...)
	}
}

// importPeers asks the node for the others, so that the import knows whom to ask about it from now on.
func (r *memberResource) importPeers(ctx context.Context, node, address string, diags *diagnostics) map[string]nodeModel {
	others, _, err := r.session.discover(ctx, node, address)
	if err != nil {
		fail(diags, "import "+node, err)
		return nil
	}
	others[node] = address // as in a map that serves all members
	return peersAt(others)
}
