package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
)

var (
	_ resource.Resource                     = (*cookieResource)(nil)
	_ resource.ResourceWithConfigure        = (*cookieResource)(nil)
	_ resource.ResourceWithConfigValidators = (*cookieResource)(nil)
	_ resource.ResourceWithModifyPlan       = (*cookieResource)(nil)
	_ resource.ResourceWithImportState      = (*cookieResource)(nil)
	_ resource.ResourceWithIdentity         = (*cookieResource)(nil)
)

func newCookieResource() resource.Resource { return &cookieResource{} }

// cookieResource is rabbitmq_erlang_cookie: the Erlang cookie of one host.
type cookieResource struct{ resourceSession }

type cookieModel struct {
	Host            types.String   `tfsdk:"host"`
	SSH             types.Object   `tfsdk:"ssh"`
	Value           types.String   `tfsdk:"value"`
	ValueWO         types.String   `tfsdk:"value_wo"`
	ValueWOVersion  types.Int64    `tfsdk:"value_wo_version"`
	Path            types.String   `tfsdk:"path"`
	BrokerPath      types.String   `tfsdk:"broker_path"`
	Node            types.String   `tfsdk:"node"`
	Nodes           types.List     `tfsdk:"nodes"`
	Rabbitmqctl     types.List     `tfsdk:"rabbitmqctl"`
	Service         types.String   `tfsdk:"service"`
	Commands        types.Object   `tfsdk:"service_commands"`
	RestartIfNeeded types.Bool     `tfsdk:"restart_if_needed"`
	Hash            types.String   `tfsdk:"hash"`
	Mode            types.String   `tfsdk:"mode"`
	Owner           types.String   `tfsdk:"owner"`
	Timeouts        timeouts.Value `tfsdk:"timeouts"`
}

type cookieIdentity struct {
	Host types.String `tfsdk:"host"`
	Path types.String `tfsdk:"path"`
}

// written is the key of the private state that keeps the hash of what was last written, which tells drift apart from a
// write-only value that changed without its version.
const written = "written"

func (r *cookieResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_erlang_cookie"
	resp.ResourceBehavior.MutableIdentity = true // a host may get another address
}

func (r *cookieResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The Erlang cookie of one host: the secret that lets nodes and `rabbitmqctl` talk to each other. A running broker takes a new cookie at once, without a restart; links between nodes and connections of clients stay up. The cookie is in no argument list, log or error.",
		Attributes: map[string]schema.Attribute{
			// Required attributes
			"host": aloneHostAttribute(),
			// Optional attributes
			"ssh": hostSSHAttribute(),
			"value": schema.StringAttribute{
				Optional:            true,
				Sensitive:           true,
				MarkdownDescription: "The cookie: 1 to 255 printable ASCII characters without blanks. It is kept in state; `value_wo` is not. Exactly one of the two is set.",
			},
			"value_wo": schema.StringAttribute{
				Optional:            true,
				Sensitive:           true,
				WriteOnly:           true,
				MarkdownDescription: "The cookie, write-only: it may be ephemeral and is stored nowhere. It is written when `value_wo_version` changes, and again when the host's cookie drifts from what was written.",
			},
			"value_wo_version": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "Number to raise when `value_wo` changes; that rotates the cookie. Required beside `value_wo`.",
				Validators:          []validator.Int64{int64validator.AlsoRequires(path.MatchRoot("value_wo"))},
			},
			"path": schema.StringAttribute{
				Optional:            true,
				Computed:            true,
				MarkdownDescription: "Path of the cookie file. Default: `.erlang.cookie` in the home of the account `rabbitmq`. A change writes the new file and leaves the old one.",
				Validators:          []validator.String{cookiePath{}},
				PlanModifiers:       []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
			},
			"broker_path": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Path of the same file as the broker sees it, where that is another, as in a container. Default: `path`.",
				Validators:          []validator.String{cookiePath{}},
			},
			"node": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Name of the node that shall take the cookie while it runs. Default: the one that `rabbitmqctl` talks to on the host.",
				Validators:          []validator.String{nodeNameValidator{}},
			},
			"nodes": schema.ListAttribute{
				Optional:            true,
				ElementType:         types.StringType,
				MarkdownDescription: "Names of the nodes that shall take the cookie while they run, where several on the host share the file. Default: the one of `node`.",
				Validators: []validator.List{
					listvalidator.SizeAtLeast(1), listvalidator.UniqueValues(), listvalidator.ValueStringsAre(nodeNameValidator{}),
					listvalidator.ConflictsWith(path.MatchRoot("node"), path.MatchRoot("restart_if_needed")),
				},
			},
			"rabbitmqctl":      rabbitmqctlAttribute(),
			"service":          serviceAttribute(),
			"service_commands": serviceCommandsAttribute(),
			"restart_if_needed": schema.BoolAttribute{
				Optional:            true,
				Computed:            true,
				Default:             booldefault.StaticBool(false),
				MarkdownDescription: "Whether the broker may be restarted when it runs with a cookie that no file has, which is the only case in which it cannot take a new one while it runs. Default: false, which is an error that says so. Restarts of one run go one at a time.",
			},
			"owner": schema.StringAttribute{
				Optional:            true,
				Computed:            true,
				MarkdownDescription: "Account on the host, by name or number, that the file belongs to; any other is drift. Default: the broker's account; where `rabbitmqctl` leads into a container, whoever has the file already.",
				Validators:          []validator.String{stringvalidator.RegexMatches(regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`), "must be the name or the number of an account")},
			},
			"timeouts": timeoutsAttribute(ctx, false),
			// Computed attributes
			"hash": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Hash of the cookie in the file, as `rabbitmq-diagnostics erlang_cookie_hash` prints it for a running node.",
			},
			"mode": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Mode of the file, in octal digits. Erlang refuses a file that anybody but its owner can read; such a mode is drift.",
			},
		},
	}
}

func (r *cookieResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"host": identityschema.StringAttribute{RequiredForImport: true, Description: "Name or address by which the host is reached."},
		"path": identityschema.StringAttribute{OptionalForImport: true, Description: "Path of the cookie file, where it is not the default."},
	}}
}

func (r *cookieResource) ConfigValidators(context.Context) []resource.ConfigValidator {
	return []resource.ConfigValidator{cookieSource{}}
}

// ModifyPlan shows drift by the hash, the mode and the owner, which reveal nothing.
func (r *cookieResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		resp.Diagnostics.AddWarning("The cookie file stays", "Destroying rabbitmq_erlang_cookie leaves the file on its host: without it the broker could not be stopped, and would start with a new cookie of its own. Only Terraform forgets it.")
		return
	}
	var config, plan cookieModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if r.session != nil && !r.session.unknown && !plan.Host.IsUnknown() && !plan.SSH.IsUnknown() && !r.session.checkSettings(plan.host(), path.Root("host"), &resp.Diagnostics) {
		return
	}
	if req.State.Raw.IsNull() {
		if !config.Value.IsNull() && !config.Value.IsUnknown() {
			plan.Hash = types.StringValue(rabbitmq.CookieHash([]byte(config.Value.ValueString())))
		}
		resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
		return
	}
	var state cookieModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	last, diags := req.Private.GetKey(ctx, written)
	resp.Diagnostics.Append(diags...)
	switch {
	case !config.Value.IsNull():
		if !config.Value.IsUnknown() {
			plan.Hash = types.StringValue(rabbitmq.CookieHash([]byte(config.Value.ValueString())))
		}
	case !plan.ValueWOVersion.Equal(state.ValueWOVersion):
		plan.Hash = types.StringUnknown() // an ephemeral value may be another one when it is applied
		if !config.ValueWO.IsUnknown() && rabbitmq.CookieHash([]byte(config.ValueWO.ValueString())) == state.Hash.ValueString() {
			plan.Hash = state.Hash // imported, or raised for nothing
		}
	case len(last) > 0:
		plan.Hash = types.StringValue(strings.Trim(string(last), `"`))
		if !config.ValueWO.IsUnknown() && rabbitmq.CookieHash([]byte(config.ValueWO.ValueString())) != plan.Hash.ValueString() {
			resp.Diagnostics.AddAttributeWarning(path.Root("value_wo"), "The cookie is not rotated", "value_wo is not what was written last, and value_wo_version is the same. Raise value_wo_version to rotate the cookie.")
		}
	default:
		plan.Hash = state.Hash
	}
	plan.Mode = state.Mode
	switch {
	case !rabbitmq.ModeUsable(state.Mode.ValueString()):
		plan.Mode = types.StringValue("0400")
	case plan.Hash.Equal(state.Hash), state.Mode.ValueString() == "0400":
	case plan.Hash.IsUnknown():
		plan.Mode = types.StringUnknown() // 0600 stays when nothing is written
	default:
		plan.Mode = types.StringValue("0400")
	}
	if config.Owner.IsNull() {
		plan.Owner = types.StringUnknown()
		if node, err := r.node(plan); err == nil && !r.session.unknown {
			plan.Owner = state.Owner
			if account, known := node.FileOwner(); known {
				plan.Owner = types.StringValue(account)
			}
		}
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

func (m cookieModel) host() host {
	h := host{Address: m.Host.ValueString(), SSH: m.SSH, Service: m.Service.ValueString(), Commands: commandsOf(m.Commands)}
	for _, arg := range m.Rabbitmqctl.Elements() {
		text, _ := plain(arg)
		h.Rabbitmqctl = append(h.Rabbitmqctl, text)
	}
	return h
}

// node gives the broker of the model's host.
func (r *cookieResource) node(m cookieModel) (*rabbitmq.Node, error) {
	if r.session == nil {
		return nil, errors.New("the provider is not configured")
	}
	return r.session.node(m.Node.ValueString(), m.host())
}

func (r *cookieResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan, config cookieModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	ctx, cancel := bound(ctx, plan.Timeouts.Create, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	h := plan.host()
	h.Wait = true
	hash, ok := r.write(ctx, h, &plan, config, &resp.Diagnostics)
	if !ok {
		return
	}
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, written, hash)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity())...)
}

func (m cookieModel) identity() cookieIdentity { return cookieIdentity{Host: m.Host, Path: m.Path} }

// write makes the configured cookie the host's and reads it back into the model. It gives the hash as JSON, for the
// private state. The write-only value goes from the configuration to the host and never into the model, because the
// framework stores what a failed create put there.
func (r *cookieResource) write(ctx context.Context, h host, plan *cookieModel, config cookieModel, diags *diagnostics) ([]byte, bool) {
	doing := "write the Erlang cookie of host " + h.Address
	value := config.Value
	if value.IsNull() {
		value = config.ValueWO
	}
	secret := remote.NewSecret(value.ValueString())
	if err := rabbitmq.CheckCookie(secret.Reveal()); err != nil {
		diags.AddError("Unable to "+doing, sentence(err))
		return nil, false
	}
	hash := rabbitmq.CookieHash(secret.Reveal())
	if !plan.Hash.IsUnknown() && plan.Hash.ValueString() != hash {
		diags.AddError("Unable to "+doing, "The value is not the one that was planned to be written: value_wo has changed while value_wo_version is the same. Raise value_wo_version to rotate the cookie.")
		return nil, false
	}
	node, err := r.session.node(plan.Node.ValueString(), h)
	if err == nil && plan.Path.ValueString() == "" {
		var found string
		found, err = node.CookiePath(ctx)
		plan.Path = types.StringValue(found)
	}
	if err == nil {
		var restart func(context.Context) error
		if plan.RestartIfNeeded.ValueBool() {
			restart = r.session.oneRestart(node)
		}
		file := rabbitmq.CookieAt{Path: plan.Path.ValueString(), Inside: plan.BrokerPath.ValueString(), Owner: plan.Owner.ValueString()}
		for _, element := range plan.Nodes.Elements() {
			name, _ := plain(element)
			file.Nodes = append(file.Nodes, name)
		}
		err = node.SetCookie(ctx, file, secret, restart)
	}
	var cookie rabbitmq.Cookie
	if err == nil {
		cookie, err = node.ReadCookie(ctx, plan.Path.ValueString())
	}
	if err != nil {
		fail(diags, doing, err)
		return nil, false
	}
	plan.take(cookie)
	return []byte(`"` + hash + `"`), true
}

func (m *cookieModel) take(c rabbitmq.Cookie) {
	m.Hash, m.Mode = types.StringValue(c.Hash), types.StringValue(c.Mode)
	if m.Owner.ValueString() != c.UID || c.UID == "" { // it may be configured by its number
		m.Owner = types.StringValue(c.Owner)
	}
}

func (r *cookieResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state cookieModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	// It must be there also when nothing is read and when the resource is gone, and older CLIs do not keep it.
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity())...)
	if resp.Diagnostics.HasError() {
		return
	}
	if r.session.unreached("cookie", &resp.Diagnostics) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	doing := "read the Erlang cookie of host " + state.Host.ValueString()
	node, err := r.node(state)
	if err == nil && state.Path.ValueString() == "" { // imported
		var found string
		found, err = node.CookiePath(ctx)
		state.Path = types.StringValue(found)
	}
	if err != nil {
		fail(&resp.Diagnostics, doing, err)
		return
	}
	cookie, err := node.ReadCookie(ctx, state.Path.ValueString())
	if errors.Is(err, fs.ErrNotExist) {
		resp.State.RemoveResource(ctx) // proved absent by an account that may look
		return
	}
	if err != nil {
		fail(&resp.Diagnostics, doing, err)
		return
	}
	state.take(cookie)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity())...)
}

func (r *cookieResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, config cookieModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	ctx, cancel := bound(ctx, plan.Timeouts.Update, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	hash, ok := r.write(ctx, plan.host(), &plan, config, &resp.Diagnostics)
	if !ok {
		return // the state stays as it was read before: the next plan reads again and shows what is left
	}
	resp.Diagnostics.Append(resp.Private.SetKey(ctx, written, hash)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
	resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity())...)
}

// Delete leaves the file; ModifyPlan says so in the plan.
func (r *cookieResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// ImportState takes "HOST" or "HOST,PATH": a comma is in no host name, address or sensible path.
func (r *cookieResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	identity := cookieIdentity{}
	if req.ID != "" {
		address, file, _ := strings.Cut(req.ID, ",")
		identity.Host = types.StringValue(address)
		if file != "" {
			identity.Path = types.StringValue(file)
		}
	} else {
		resp.Diagnostics.Append(req.Identity.Get(ctx, &identity)...)
	}
	if p := identity.Path; !p.IsNull() && !rabbitmq.CookieFileName(p.ValueString()) {
		resp.Diagnostics.AddError("Invalid import id", fmt.Sprintf("%q is not HOST or HOST,PATH with an absolute path.", req.ID))
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("host"), identity.Host)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("path"), identity.Path)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("restart_if_needed"), false)...)
}
