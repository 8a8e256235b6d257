package provider

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

var (
	_ resource.Resource                     = (*clusterResource)(nil)
	_ resource.ResourceWithConfigure        = (*clusterResource)(nil)
	_ resource.ResourceWithModifyPlan       = (*clusterResource)(nil)
	_ resource.ResourceWithConfigValidators = (*clusterResource)(nil)
	_ resource.ResourceWithImportState      = (*clusterResource)(nil)
	_ resource.ResourceWithIdentity         = (*clusterResource)(nil)
)

func newClusterResource() resource.Resource { return &clusterResource{} }

// clusterResource is rabbitmq_cluster: the whole membership of one cluster.
type clusterResource struct{ resourceSession }

// What on_destroy can be.
const (
	dissolve = "dissolve"
	keep     = "keep"
)

func (r *clusterResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cluster"
	resp.ResourceBehavior.MutableIdentity = true // any member stands for the cluster, and members come and go
}

func (r *clusterResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The whole membership of one RabbitMQ cluster. It is authoritative: a node that is in the cluster and not in `members` is drift, and the next apply takes it out.",
		Attributes: map[string]schema.Attribute{
			// Required attributes
			"members": schema.MapNestedAttribute{
				Required:            true,
				MarkdownDescription: "The members, by Erlang node name (`rabbit@rmq1`). Joins go one at a time; a node that is a member already is adopted as it is.",
				Validators:          []validator.Map{mapvalidator.SizeAtLeast(1)},
				NestedObject: schema.NestedAttributeObject{
					CustomType: memberType, // else the framework makes it anew for every value below it: a tenth of a large plan
					Attributes: map[string]schema.Attribute{
						"host":             hostAttribute(),
						"ssh":              hostSSHAttribute(),
						"type":             typeAttribute(),
						"rabbitmqctl":      rabbitmqctlAttribute(),
						"service":          serviceAttribute(),
						"service_commands": serviceCommandsAttribute(),
						"running": schema.BoolAttribute{
							Computed:            true,
							MarkdownDescription: "Whether the node runs as a member. `false` is drift, and the next apply starts it, all that are stopped at once, and waits for their boots as long as RabbitMQ does. Nothing is forced: where members wait for others in vain, the error says what is safe and what the rest would cost.",
						},
					},
				},
			},
			// Optional attributes
			"name": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "The cluster's name, as `rabbitmqctl set_cluster_name` sets it. Unset: not managed.",
				Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"allow_data_loss": allowDataLossAttribute("joining a node that holds data or is in another cluster, removing the only copy of a queue"),
			"on_destroy": schema.StringAttribute{
				Optional: true,
				Computed: true,
				Default:  stringdefault.StaticString(dissolve),
				MarkdownDescription: "`dissolve` (default): every member but one leaves and is reset; the last keeps its data. Members that do not run are forgotten, so hosts may be gone already; when no member can be reached, the destroy is an error and the state stays. " +
					"`keep`: the cluster stays as it is and is only forgotten by Terraform; to set it where all hosts are gone, apply and destroy with `-refresh=false`.",
				Validators: []validator.String{stringvalidator.OneOf(dissolve, keep)},
			},
			"replicas": replicasAttribute("every member"),
			"timeouts": timeoutsAttribute(ctx, true),
			// Computed attributes
			"id": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "RabbitMQ's persistent internal cluster id.",
			},
		},
	}
}

func (r *clusterResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = memberIdentitySchema
}

func (r *clusterResource) ConfigValidators(context.Context) []resource.ConfigValidator {
	return []resource.ConfigValidator{memberNames{}}
}

// ModifyPlan fills in what follows from the configuration and, when membership would change, says what would happen to
// the cluster and to its data. It reaches no host while anything about them is unknown.
func (r *clusterResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.session == nil {
		return
	}
	if req.Plan.Raw.IsNull() {
		r.foreseeDestroy(ctx, req, resp)
		return
	}
	var config, plan clusterModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() || config.Members.IsUnknown() {
		return
	}
	members, diags := config.members(ctx)
	resp.Diagnostics.Append(diags...)
	for node, m := range members {
		if m.Host.IsNull() {
			m.Host = types.StringValue(rabbitmq.HostPart(node))
		}
		if m.Type.IsNull() {
			m.Type = types.StringValue(string(topology.Disc))
		}
		m.Running = types.BoolValue(true)
		members[node] = m
	}
	plan.Members, diags = types.MapValueFrom(ctx, memberType, members)
	resp.Diagnostics.Append(diags...)

	var state clusterModel
	before := map[string]memberModel{}
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
		before, diags = state.members(ctx)
		resp.Diagnostics.Append(diags...)
		// What a member joins again may be another cluster, with another id. That is not foretold: a plan that is made once
		// more right before the apply may not know less than the one that was shown, and the next read finds the id.
		plan.ID = state.ID
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
	if resp.Diagnostics.HasError() || r.session.unknown || !known(members) || plan.Name.IsUnknown() || plan.AllowDataLoss.IsUnknown() {
		return
	}
	r.session.claims.cluster(members, &resp.Diagnostics)
	for _, node := range slices.Sorted(maps.Keys(members)) {
		r.session.checkSettings(members[node].host(node), path.Root("members").AtMapKey(node), &resp.Diagnostics)
	}
	if resp.Diagnostics.HasError() || !changes(plan, state, members, before) {
		return
	}
	fleet, err := r.session.fleet(members, before, false)
	if err != nil {
		fail(&resp.Diagnostics, "plan the cluster", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	steps, err := fleet.Preview(ctx, plan.wish(members, before))
	foresee(&resp.Diagnostics, "change the cluster", false, steps, err)
}

// changes tells whether an apply would do anything to the cluster, and not just to how it is reached.
func changes(plan, state clusterModel, members, before map[string]memberModel) bool {
	if !plan.Name.Equal(state.Name) && !plan.Name.IsNull() || len(members) != len(before) || grows(plan.Replicas, state.Replicas) {
		return true
	}
	for node, m := range members {
		b, there := before[node]
		if !there || !m.Type.Equal(b.Type) || !m.Running.Equal(b.Running) {
			return true
		}
	}
	return false
}

func (r *clusterResource) foreseeDestroy(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var state clusterModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	members, diags := state.members(ctx)
	resp.Diagnostics.Append(diags...)
	if state.OnDestroy.ValueString() == keep {
		resp.Diagnostics.AddWarning("The cluster stays", `on_destroy is "keep": no member is touched. Only Terraform forgets the cluster.`)
		return
	}
	if resp.Diagnostics.HasError() || r.session.unknown {
		return
	}
	fleet, err := r.session.fleet(members, nil, false)
	if err != nil {
		fail(&resp.Diagnostics, "plan the end of the cluster", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	stays, steps, err := fleet.PreviewDissolve(ctx, state.wish(members, nil))
	if stays != "" {
		resp.Diagnostics.AddWarning(stays+" stays, alone and with all that the cluster holds", "Of the members that run it has copies of the most queues. The others leave through it, one at a time, and end blank and alone.")
	}
	foresee(&resp.Diagnostics, "dissolve the cluster", false, steps, err)
}

func (r *clusterResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan clusterModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	ctx, cancel := bound(ctx, plan.Timeouts.Create, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	// A failed create stores nothing: a tainted cluster would be destroyed by the next apply, and that one can go on
	// from whatever it finds just as well.
	members, reading, ok := r.converge(ctx, "create the cluster", plan, nil, true, &resp.Diagnostics)
	if !ok {
		return
	}
	resp.Diagnostics.Append(plan.take(ctx, reading, members)...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity(ctx))...)
}

func (r *clusterResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state clusterModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	// It must be there also when nothing is read, and older CLIs do not keep it.
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity(ctx))...)
	if r.session.unreached("cluster", &resp.Diagnostics) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r.refresh(ctx, &state, nil, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity(ctx))...)
}

// refresh reads the cluster of a state into it. Members that only planned names are reached as it says. On an error the
// state is untouched.
func (r *clusterResource) refresh(ctx context.Context, state *clusterModel, planned map[string]memberModel, diags *diagnostics) {
	members, d := state.members(ctx)
	diags.Append(d...)
	reached := maps.Clone(planned)
	if reached == nil {
		reached = map[string]memberModel{}
	}
	maps.Copy(reached, members)
	fleet, err := r.session.fleet(reached, nil, false)
	if err != nil {
		fail(diags, "read the cluster", err)
		return
	}
	reading, err := fleet.Read(ctx, memberTypes(members), state.Replicas.ValueString() == grow)
	if err != nil {
		fail(diags, "read the cluster", unreadable(err, "rabbitmq_cluster"))
		return
	}
	diags.Append(state.take(ctx, reading, reached)...)
	state.Replicas = readReplicas(state.Replicas, reading)
	warnOf(diags, reading)
}

func (r *clusterResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state clusterModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	bounded, cancel := bound(ctx, plan.Timeouts.Update, &resp.Diagnostics)
	defer cancel()
	before, diags := state.members(ctx)
	resp.Diagnostics.Append(diags...)
	wanted, diags := plan.members(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	if !changes(plan, state, wanted, before) {
		// Only how Terraform handles the cluster is another: nobody is asked, so that on_destroy can be set for a
		// cluster whose hosts are all gone.
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity(ctx))...)
		return
	}
	members, reading, ok := r.converge(bounded, "change the cluster", plan, before, false, &resp.Diagnostics)
	if ok {
		planned := plan.ID
		resp.Diagnostics.Append(plan.take(ctx, reading, members)...)
		plan.ID = planned // the next read finds it when the cluster became another one
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity(ctx))...)
		return
	}
	// Part of the change may be done: the state tells what is, so that the next plan shows what is left. Members that
	// cannot be read stay.
	planned, unread := plan.members(ctx)
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	if r.refresh(ctx, &state, planned, &unread); !unread.HasError() {
		resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
	}
}

// converge makes the cluster what plan says, alone among the resources of this run that share one of its nodes.
func (r *clusterResource) converge(ctx context.Context, doing string, plan clusterModel, before map[string]memberModel, wait bool, diags *diagnostics) (map[string]memberModel, topology.Reading, bool) {
	members, d := plan.members(ctx)
	diags.Append(d...)
	fleet, err := r.session.fleet(members, before, wait)
	if err != nil {
		fail(diags, doing, err)
		return nil, topology.Reading{}, false
	}
	release, err := r.session.locks.take(ctx, slices.Concat(slices.Collect(maps.Keys(members)), slices.Collect(maps.Keys(before))))
	if err != nil {
		fail(diags, doing, err)
		return nil, topology.Reading{}, false
	}
	defer release()
	reading, err := fleet.Converge(ctx, plan.wish(members, before))
	if err != nil {
		fail(diags, doing, err)
		return nil, topology.Reading{}, false
	}
	return members, reading, !diags.HasError()
}

func (r *clusterResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state clusterModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := bound(ctx, state.Timeouts.Delete, &resp.Diagnostics)
	defer cancel()
	members, diags := state.members(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() || state.OnDestroy.ValueString() == keep {
		return
	}
	fleet, err := r.session.fleet(members, nil, false)
	if err != nil {
		fail(&resp.Diagnostics, "dissolve the cluster", err)
		return
	}
	release, err := r.session.locks.take(ctx, slices.Collect(maps.Keys(members)))
	if err != nil {
		fail(&resp.Diagnostics, "dissolve the cluster", err)
		return
	}
	defer release()
	skipped, err := fleet.Dissolve(ctx, state.wish(members, nil))
	if len(skipped) > 0 {
		resp.Diagnostics.AddWarning("Hosts were skipped", strings.Join(skipped, "\n")+"\n\nThe others do not list them as members any more, so nothing was done there.")
	}
	if err != nil {
		fail(&resp.Diagnostics, "dissolve the cluster", err)
		resp.Diagnostics.AddWarning("The cluster is still in the state", `Nothing of it is forgotten until it is dissolved: the next destroy goes on. To give it up as it is, set on_destroy = "keep", apply, and destroy; with -refresh=false where no host answers. Or take it out with "state rm".`)
	}
}

// ImportState takes "NODE" or "NODE,HOST" of any one member, as rabbitmq_cluster_member does, and brings in all members.
// How the others are reached follows from the one that is named: by the addresses that it has for them when it is named
// by an address, by the host parts of their names otherwise.
func (r *clusterResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	identity := identityOf(ctx, req, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	node, address := identity.Node.ValueString(), identity.Host.ValueString()
	others, name, err := r.session.discover(ctx, node, address)
	if err != nil {
		fail(&resp.Diagnostics, "import the cluster of "+node, err)
		return
	}
	members := map[string]memberModel{node: imported(address)}
	for other, host := range others {
		members[other] = imported(host)
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("members"), members)...)
	if !strings.Contains(name, "@") { // somebody named it: unnamed clusters are called after a node
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("name"), name)...)
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("allow_data_loss"), false)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("on_destroy"), dissolve)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("replicas"), none)...)
}
