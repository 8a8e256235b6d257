package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/objectvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

// serviceCommandsType is the type of service_commands. It stands beside service, and is not another form of it, because
// an attribute of an object in a map has one type (adr/006).
var serviceCommandsType = types.ObjectType{AttrTypes: map[string]attr.Type{
	"start":       types.ListType{ElemType: types.StringType},
	"stop":        types.ListType{ElemType: types.StringType},
	"environment": types.MapType{ElemType: types.StringType},
}}

// serviceCommandsAttribute is how a broker is started and stopped that no unit of its own runs.
func serviceCommandsAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Commands in the place of `service`, for a broker that no systemd unit of its own runs: one of several nodes on a host, or one in a container. " +
			"They run as the account that `rabbitmqctl` runs as. Whether the broker runs is told by its node, never by their exit code.",
		Validators: []validator.Object{
			objectvalidator.ConflictsWith(path.MatchRelative().AtParent().AtName("service")), nodeVariable{},
		},
		Attributes: map[string]schema.Attribute{
			"start": schema.ListAttribute{
				Required:            true,
				ElementType:         types.StringType,
				MarkdownDescription: "Program and arguments that start the broker and then return, such as `[\"rabbitmq-server\", \"-detached\"]` or `[\"docker\", \"start\", \"rmq1\"]`. No shell reads them.",
				Validators:          []validator.List{listvalidator.SizeAtLeast(1), listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
			},
			"stop": schema.ListAttribute{
				Optional:            true,
				ElementType:         types.StringType,
				MarkdownDescription: "Program and arguments that stop the broker, where it has to be restarted. Default: `rabbitmqctl stop`.",
				Validators:          []validator.List{listvalidator.SizeAtLeast(1), listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
			},
			"environment": schema.MapAttribute{
				Optional:            true,
				ElementType:         types.StringType,
				MarkdownDescription: "Environment of both, such as `RABBITMQ_NODE_PORT`. `RABBITMQ_NODENAME` is the node's name unless it is given, and `RABBITMQ_USE_LONGNAME` follows from it. It is kept in state and can be seen in the host's process list: no secrets. Default: no more than those.",
			},
		},
	}
}

// nodeVariable checks the commands of a node whose name is known where they stand: the key of a map.
type nodeVariable struct{}

func (nodeVariable) Description(context.Context) string {
	return "the environment names the node itself"
}

func (v nodeVariable) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (nodeVariable) ValidateObject(_ context.Context, req validator.ObjectRequest, resp *validator.ObjectResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	node := ""
	if key, in := memberKey(req.Path); in {
		node = key
	}
	commands := commandsOf(req.ConfigValue)
	if err := rabbitmq.CheckCommands(node, *commands); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path.AtName("environment"), "Invalid service commands", sentence(err))
	}
}

// memberKey is the key of the map that a path leads through.
func memberKey(p path.Path) (string, bool) {
	for _, step := range p.Steps() {
		if key, is := step.(path.PathStepElementKeyString); is {
			return string(key), true
		}
	}
	return "", false
}

// commandsOf gives the commands of an object, or nil when there are none.
func commandsOf(object types.Object) *rabbitmq.Commands {
	if object.IsNull() || object.IsUnknown() {
		return nil
	}
	c := &rabbitmq.Commands{Environment: map[string]string{}}
	for name, into := range map[string]*[]string{"start": &c.Start, "stop": &c.Stop} {
		list, _ := object.Attributes()[name].(basetypes.ListValue)
		for _, element := range list.Elements() {
			text, _ := plain(element)
			*into = append(*into, text)
		}
	}
	environment, _ := object.Attributes()["environment"].(basetypes.MapValue)
	for name, value := range environment.Elements() {
		if text, set := plain(value); set {
			c.Environment[name] = text
		}
	}
	return c
}

// unknownIn tells whether anything in an object is unknown.
func unknownIn(object types.Object) bool {
	if object.IsUnknown() {
		return true
	}
	for _, value := range object.Attributes() {
		if value.IsUnknown() {
			return true
		}
		var elements []attr.Value
		switch v := value.(type) {
		case basetypes.ListValue:
			elements = v.Elements()
		case basetypes.MapValue:
			for _, element := range v.Elements() {
				elements = append(elements, element)
			}
		}
		for _, element := range elements {
			if element.IsUnknown() {
				return true
			}
		}
	}
	return false
}
