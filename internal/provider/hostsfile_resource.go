package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/hostsfile"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
)

var (
	_ resource.Resource                     = (*hostsFileResource)(nil)
	_ resource.ResourceWithConfigure        = (*hostsFileResource)(nil)
	_ resource.ResourceWithConfigValidators = (*hostsFileResource)(nil)
	_ resource.ResourceWithModifyPlan       = (*hostsFileResource)(nil)
	_ resource.ResourceWithImportState      = (*hostsFileResource)(nil)
	_ resource.ResourceWithIdentity         = (*hostsFileResource)(nil)
)

func newHostsFileResource() resource.Resource { return &hostsFileResource{} }

// hostsFileResource is rabbitmq_hosts_file: a block of lines in one host's hosts file.
type hostsFileResource struct{ resourceSession }

type hostsFileModel struct {
	Host       types.String   `tfsdk:"host"`
	SSH        types.Object   `tfsdk:"ssh"`
	Name       types.String   `tfsdk:"name"`
	Path       types.String   `tfsdk:"path"`
	Entries    types.Map      `tfsdk:"entries"`
	Content    types.String   `tfsdk:"content"`
	ShadowedBy types.List     `tfsdk:"shadowed_by"`
	Timeouts   timeouts.Value `tfsdk:"timeouts"`
}

type hostsFileIdentity struct {
	Host types.String `tfsdk:"host"`
	Name types.String `tfsdk:"name"`
	Path types.String `tfsdk:"path"`
}

// What is taken where nothing is said.
const (
	defaultBlock     = "default"
	defaultHostsFile = "/etc/hosts"
	// maxHostsFile is more than any hosts file that a resolver reads line by line should have.
	maxHostsFile = 4 << 20
)

func (r *hostsFileResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_hosts_file"
	resp.ResourceBehavior.MutableIdentity = true // a host may get another address
}

func (r *hostsFileResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A block of name and address lines in one host's `/etc/hosts`, between two marker lines. RabbitMQ nodes find each other by the host part of their names, so every host has to resolve the others'. " +
			"The rest of the file stays as it is, byte for byte; the file is replaced at once or not at all, with its owner and mode. A new block stands at the top, because the first line of a name wins. Where `/etc/host.conf` says `multi on`, as on Debian, every line of a name counts: lines elsewhere that give another host's name a wrong address have to be removed by hand, and a join is refused as long as they mislead it.",
		Attributes: map[string]schema.Attribute{
			// Required attributes
			"host": aloneHostAttribute(),
			"entries": schema.MapAttribute{
				Required:            true,
				ElementType:         types.StringType,
				MarkdownDescription: "Addresses by host name. The names are what stands after the `@` of node names, the addresses what the host itself reaches them by.",
				Validators:          []validator.Map{mapvalidator.SizeAtLeast(1)},
			},
			// Optional attributes
			"ssh": hostSSHAttribute(),
			"name": schema.StringAttribute{
				Optional:            true,
				Computed:            true,
				Default:             stringdefault.StaticString(defaultBlock),
				MarkdownDescription: "Name of the block, so that several configurations can each have one in the same file. Default: `" + defaultBlock + "`. A change replaces the block.",
				PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"path": schema.StringAttribute{
				Optional:            true,
				Computed:            true,
				Default:             stringdefault.StaticString(defaultHostsFile),
				MarkdownDescription: "Path of the file. Default: `" + defaultHostsFile + "`. A symbolic link is followed. A change replaces the block.",
				Validators:          []validator.String{cookiePath{}},
				PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
			},
			"timeouts": timeoutsAttribute(ctx, true),
			// Computed attributes
			"content": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "The lines of the block as they stand in the file. Any other than those of `entries` are drift.",
			},
			"shadowed_by": schema.ListAttribute{
				Computed:            true,
				ElementType:         types.StringType,
				MarkdownDescription: "Lines before the block that give one of its names another address, and so win. Any is drift, and an apply moves the block before them.",
			},
		},
	}
}

func (r *hostsFileResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"host": identityschema.StringAttribute{RequiredForImport: true, Description: "Name or address by which the host is reached."},
		"name": identityschema.StringAttribute{OptionalForImport: true, Description: "Name of the block, where it is not the default."},
		"path": identityschema.StringAttribute{OptionalForImport: true, Description: "Path of the file, where it is not the default."},
	}}
}

func (r *hostsFileResource) ConfigValidators(context.Context) []resource.ConfigValidator {
	return []resource.ConfigValidator{hostsFileEntries{}}
}

// hostsFileEntries checks the block's name and its lines.
type hostsFileEntries struct{}

func (hostsFileEntries) Description(context.Context) string {
	return "host names with IP addresses, in a block with a name"
}

func (v hostsFileEntries) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (hostsFileEntries) ValidateResource(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config hostsFileModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if !config.Name.IsNull() && !config.Name.IsUnknown() {
		if err := hostsfile.CheckBlock(config.Name.ValueString()); err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("name"), "Invalid block name", sentence(err))
		}
	}
	folded := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(config.Entries.Elements())) {
		at := path.Root("entries").AtMapKey(name)
		if other, twice := folded[strings.ToLower(name)]; twice {
			resp.Diagnostics.AddAttributeError(at, "Host named twice", fmt.Sprintf("%s and %s are one name to a resolver.", other, name))
		}
		folded[strings.ToLower(name)] = name
		address, is := plain(config.Entries.Elements()[name])
		if !is {
			if config.Entries.Elements()[name].IsNull() {
				resp.Diagnostics.AddAttributeError(at, "No address", fmt.Sprintf("%s has no address.", name))
			}
			continue
		}
		if err := hostsfile.CheckEntry(name, address); err != nil {
			resp.Diagnostics.AddAttributeError(at, "Invalid line", sentence(err))
		}
	}
}

// ModifyPlan shows drift by the lines themselves.
func (r *hostsFileResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return
	}
	var plan hostsFileModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if r.session != nil && !r.session.unknown && !plan.Host.IsUnknown() && !plan.SSH.IsUnknown() && !r.session.checkSettings(plan.host(), path.Root("host"), &resp.Diagnostics) {
		return
	}
	plan.Content = types.StringUnknown()
	if entries, known := plan.entries(); known {
		plan.Content = types.StringValue(hostsfile.Render(entries))
	}
	plan.ShadowedBy = types.ListValueMust(types.StringType, nil)
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
}

// entries are the wanted lines; it gives false while one of them is unknown.
func (m hostsFileModel) entries() (map[string]string, bool) {
	entries := map[string]string{}
	for name, value := range m.Entries.Elements() {
		address, known := plain(value)
		if !known {
			return nil, false
		}
		entries[name] = address
	}
	return entries, !m.Entries.IsUnknown()
}

func (m hostsFileModel) host() host { return host{Address: m.Host.ValueString(), SSH: m.SSH} }

func (m hostsFileModel) identity() hostsFileIdentity {
	return hostsFileIdentity{Host: m.Host, Name: m.Name, Path: m.Path}
}

// read reads the file. Everybody may, as a rule; where not, root does.
func readHostsFile(ctx context.Context, machine *remote.Host, file string) (remote.File, error) {
	f, err := machine.ReadFile(ctx, "", file, maxHostsFile)
	if errors.Is(err, fs.ErrPermission) {
		f, err = machine.ReadFile(ctx, "root", file, maxHostsFile)
	}
	return f, err
}

// change rewrites the file, if that changes anything, with whatever belongs to it. Somebody else who writes it at the
// same time is let through, and the change is made to what they wrote.
func (r *hostsFileResource) change(ctx context.Context, h host, file string, edit func(text string) (string, error)) error {
	machine, err := r.session.machine(h)
	if err != nil {
		return err
	}
	release, err := r.session.locks.take(ctx, []string{file + " on " + machine.Address()})
	if err != nil {
		return err
	}
	defer release()
	for attempt := 0; ; attempt++ {
		f, err := readHostsFile(ctx, machine, file)
		if errors.Is(err, fs.ErrNotExist) {
			f, err = remote.File{Path: file, Mode: 0o644, Owner: "root", Group: "root"}, nil
		}
		if err != nil {
			return err
		}
		text := string(f.Content.Reveal())
		edited, err := edit(text)
		if err != nil {
			return fmt.Errorf("%s on host %s: %w", file, machine.Address(), err)
		}
		if edited == text {
			return nil
		}
		f.Replaces, f.Content = f.Content, remote.NewSecret(edited)
		if err = machine.WriteFile(ctx, "root", f); !errors.Is(err, remote.ErrChanged) || attempt == 5 {
			return err
		}
	}
}

// write makes the block what the plan says and reads it back.
func (r *hostsFileResource) write(ctx context.Context, h host, plan *hostsFileModel, diags *diagnostics) bool {
	doing := fmt.Sprintf("write %s of host %s", plan.Path.ValueString(), h.Address)
	entries, _ := plan.entries()
	err := r.change(ctx, h, plan.Path.ValueString(), func(text string) (string, error) {
		return hostsfile.Write(text, plan.Name.ValueString(), entries)
	})
	found := false
	if err == nil {
		found, err = r.take(ctx, h, plan, false)
	}
	if err == nil && !found {
		err = errors.New("the block was written and is not there any more: something else on the host writes the file")
	}
	if err != nil {
		fail(diags, doing, err)
		return false
	}
	return true
}

// take reads the block into the model; with all, its entries too. It gives false when it is proved not to be there.
func (r *hostsFileResource) take(ctx context.Context, h host, m *hostsFileModel, all bool) (bool, error) {
	machine, err := r.session.machine(h)
	if err != nil {
		return false, err
	}
	f, err := readHostsFile(ctx, machine, m.Path.ValueString())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	block, found, err := hostsfile.Read(string(f.Content.Reveal()), m.Name.ValueString())
	if err != nil {
		return false, fmt.Errorf("%s on host %s: %w", m.Path.ValueString(), machine.Address(), err)
	}
	if !found {
		return false, nil
	}
	m.Content = types.StringValue(block.Content)
	lines, diags := types.ListValueFrom(ctx, types.StringType, append([]string{}, block.ShadowedBy...))
	m.ShadowedBy = lines
	if all {
		entries, more := types.MapValueFrom(ctx, types.StringType, block.Entries)
		diags.Append(more...)
		m.Entries = entries
	}
	if diags.HasError() {
		return false, errors.New(diags[0].Detail())
	}
	return true, nil
}

func (r *hostsFileResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan hostsFileModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	ctx, cancel := bound(ctx, plan.Timeouts.Create, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	h := plan.host()
	h.Wait = true
	if r.write(ctx, h, &plan, &resp.Diagnostics) {
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity())...)
	}
}

func (r *hostsFileResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state hostsFileModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	// It must be there also when nothing is read and when the resource is gone, and older CLIs do not keep it.
	resp.Diagnostics.Append(resp.Identity.Set(ctx, state.identity())...)
	if resp.Diagnostics.HasError() {
		return
	}
	if r.session.unreached("hosts file", &resp.Diagnostics) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := r.take(ctx, state.host(), &state, true)
	if err != nil {
		fail(&resp.Diagnostics, fmt.Sprintf("read %s of host %s", state.Path.ValueString(), state.Host.ValueString()), err)
		return
	}
	if !found {
		resp.State.RemoveResource(ctx)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

func (r *hostsFileResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan hostsFileModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	ctx, cancel := bound(ctx, plan.Timeouts.Update, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	// After a failure the state stays as it was read before: the next plan reads again and shows what is left.
	if r.write(ctx, plan.host(), &plan, &resp.Diagnostics) {
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		resp.Diagnostics.Append(resp.Identity.Set(ctx, plan.identity())...)
	}
}

func (r *hostsFileResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state hostsFileModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	ctx, cancel := bound(ctx, state.Timeouts.Delete, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	err := r.change(ctx, state.host(), state.Path.ValueString(), func(text string) (string, error) {
		return hostsfile.Remove(text, state.Name.ValueString())
	})
	if err != nil {
		fail(&resp.Diagnostics, fmt.Sprintf("take the block out of %s of host %s", state.Path.ValueString(), state.Host.ValueString()), err)
	}
}

// ImportState takes "HOST", "HOST,NAME" or "HOST,NAME,PATH".
func (r *hostsFileResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	identity := hostsFileIdentity{}
	if req.ID != "" {
		parts := strings.SplitN(req.ID+",,", ",", 4)
		identity = hostsFileIdentity{Host: types.StringValue(parts[0]), Name: types.StringValue(parts[1]), Path: types.StringValue(parts[2])}
	} else {
		resp.Diagnostics.Append(req.Identity.Get(ctx, &identity)...)
	}
	if identity.Name.ValueString() == "" {
		identity.Name = types.StringValue(defaultBlock)
	}
	if identity.Path.ValueString() == "" {
		identity.Path = types.StringValue(defaultHostsFile)
	}
	if hostsfile.CheckBlock(identity.Name.ValueString()) != nil || !strings.HasPrefix(identity.Path.ValueString(), "/") || identity.Host.ValueString() == "" {
		resp.Diagnostics.AddError("Invalid import id", fmt.Sprintf("%q is not HOST, HOST,NAME or HOST,NAME,PATH with an absolute path.", req.ID))
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("host"), identity.Host)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("name"), identity.Name)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("path"), identity.Path)...)
}
