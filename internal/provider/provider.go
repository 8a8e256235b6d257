// Package provider is the Terraform side of the product: schemas, models, plans and diagnostics, and nothing else.
package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

var (
	_ provider.Provider                       = (*rabbitmqProvider)(nil)
	_ provider.ProviderWithEphemeralResources = (*rabbitmqProvider)(nil)
	_ provider.ProviderWithFunctions          = (*rabbitmqProvider)(nil)
	_ provider.ProviderWithActions            = (*rabbitmqProvider)(nil)
	_ provider.ProviderWithListResources      = (*rabbitmqProvider)(nil)
)

// New returns the provider's constructor, as the plugin server wants it.
func New(version string) func() provider.Provider {
	return func() provider.Provider { return &rabbitmqProvider{version: version} }
}

type rabbitmqProvider struct {
	version string
}

type providerModel struct {
	SSH         types.Object `tfsdk:"ssh"`
	Profiles    types.Map    `tfsdk:"ssh_profiles"`
	Rabbitmqctl types.List   `tfsdk:"rabbitmqctl"`
}

func (p *rabbitmqProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "rabbitmq"
	resp.Version = p.version
}

func (p *rabbitmqProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Forms, changes and dissolves RabbitMQ clusters on hosts that are reached by SSH, one verified step at a time, with `rabbitmqctl`.",
		Attributes: map[string]schema.Attribute{
			"ssh":          providerSSHAttribute(),
			"ssh_profiles": profilesAttribute(),
			"rabbitmqctl": schema.ListAttribute{
				ElementType:         types.StringType,
				Optional:            true,
				MarkdownDescription: "Program and leading arguments that stand for `rabbitmqctl`, for example `[\"docker\", \"exec\", \"-i\", \"rabbitmq\", \"rabbitmqctl\"]`. Default: `[\"rabbitmqctl\"]`, run as the account `rabbitmq`. Anything but a single program called rabbitmqctl is run as root.",
			},
		},
	}
}

func (p *rabbitmqProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var model providerModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	s := newSession()
	if !req.Config.Raw.IsFullyKnown() {
		s.unknown = true
		resp.ResourceData, resp.DataSourceData, resp.EphemeralResourceData = s, s, s
		resp.ActionData, resp.ListResourceData = s, s
		return
	}
	defaults, diags := providerSSH(model.SSH)
	resp.Diagnostics.Append(diags...)
	s.defaults = defaults
	resp.Diagnostics.Append(s.addProfiles(model.Profiles)...)
	resp.Diagnostics.Append(model.Rabbitmqctl.ElementsAs(ctx, &s.rabbitmqctl, false)...)
	if !model.Rabbitmqctl.IsNull() && len(s.rabbitmqctl) == 0 {
		resp.Diagnostics.AddAttributeError(path.Root("rabbitmqctl"), "Empty rabbitmqctl", "The list names no program. Leave the attribute out for the default.")
	}
	resp.ResourceData, resp.DataSourceData, resp.EphemeralResourceData = s, s, s
	resp.ActionData, resp.ListResourceData = s, s
}

func (p *rabbitmqProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{newClusterResource, newMemberResource, newCookieResource, newHostsFileResource}
}

func (p *rabbitmqProvider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{newCookieEphemeral}
}

// Functions lists the functions.
func (p *rabbitmqProvider) Functions(context.Context) []func() function.Function {
	return []func() function.Function{newClassicConfigFunction, newStatusFunction, newCookieFunction}
}

// DataSources lists the data sources.
func (p *rabbitmqProvider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{newClusterData, newNodeData}
}

// Actions lists the actions.
func (p *rabbitmqProvider) Actions(context.Context) []func() action.Action {
	return []func() action.Action{newRestartAction, newMaintenanceAction, newRebalanceAction, newForceBootAction}
}

// ListResources lists what can be listed.
func (p *rabbitmqProvider) ListResources(context.Context) []func() list.ListResource {
	return []func() list.ListResource{newMemberList}
}
