package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	rschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

var (
	_ ephemeral.EphemeralResource              = (*cookieEphemeral)(nil)
	_ ephemeral.EphemeralResourceWithConfigure = (*cookieEphemeral)(nil)
)

func newCookieEphemeral() ephemeral.EphemeralResource { return &cookieEphemeral{} }

// cookieEphemeral reads the Erlang cookie of a host, for use as another's value_wo.
type cookieEphemeral struct{ ephemeralSession }

type cookieEphemeralModel struct {
	Host        types.String `tfsdk:"host"`
	SSH         types.Object `tfsdk:"ssh"`
	Path        types.String `tfsdk:"path"`
	Rabbitmqctl types.List   `tfsdk:"rabbitmqctl"`
	Value       types.String `tfsdk:"value"`
	Hash        types.String `tfsdk:"hash"`
}

func (r *cookieEphemeral) Metadata(_ context.Context, req ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_erlang_cookie"
}

func (r *cookieEphemeral) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	ssh := hostSSHAttribute()
	ssh.MarkdownDescription = "What is different for this host; the provider's `ssh` holds for the rest." // no state here
	resp.Schema = schema.Schema{
		MarkdownDescription: "Reads the Erlang cookie of a host, for use as `value_wo` of `rabbitmq_erlang_cookie` elsewhere: the way a cluster's cookie gets to a new member. Nothing of it is kept in state or plan.",
		Attributes: map[string]schema.Attribute{
			"host": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "Name or address by which the host is reached with SSH.",
				Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"ssh": ephemeralAttributes(map[string]rschema.Attribute{"ssh": ssh})["ssh"],
			"path": schema.StringAttribute{
				Optional:            true,
				Computed:            true,
				MarkdownDescription: "Path of the cookie file. Default: `.erlang.cookie` in the home of the account `rabbitmq`.",
				Validators:          []validator.String{cookiePath{}},
			},
			"rabbitmqctl": schema.ListAttribute{
				Optional:            true,
				ElementType:         types.StringType,
				MarkdownDescription: "Program and leading arguments that stand for `rabbitmqctl` on this host. Nothing is run with it here; it tells which account the file belongs to. Default: the provider's.",
				Validators:          []validator.List{listvalidator.SizeAtLeast(1)},
			},
			"value": schema.StringAttribute{
				Computed:            true,
				Sensitive:           true,
				MarkdownDescription: "The cookie.",
			},
			"hash": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Its hash, as `rabbitmq-diagnostics erlang_cookie_hash` prints it for a running node.",
			},
		},
	}
}

func (r *cookieEphemeral) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var model cookieEphemeralModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	h := cookieModel{Host: model.Host, SSH: model.SSH, Rabbitmqctl: model.Rabbitmqctl}.host()
	doing := "read the Erlang cookie of host " + h.Address
	node, err := r.session.node("", h)
	if err == nil && model.Path.IsNull() {
		var found string
		found, err = node.CookiePath(ctx)
		model.Path = types.StringValue(found)
	}
	if err != nil {
		fail(&resp.Diagnostics, doing, err)
		return
	}
	cookie, err := node.ReadCookie(ctx, model.Path.ValueString())
	if err != nil {
		fail(&resp.Diagnostics, doing, err)
		return
	}
	model.Value, model.Hash = types.StringValue(string(cookie.Value().Reveal())), types.StringValue(cookie.Hash)
	resp.Diagnostics.Append(resp.Result.Set(ctx, &model)...)
}
