package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// What several resources have in common.

// hostAttribute is how a node's host is reached.
func hostAttribute() schema.StringAttribute {
	return schema.StringAttribute{
		Optional:            true,
		Computed:            true,
		MarkdownDescription: "Name or address by which the host is reached with SSH. Default: what stands after the `@` of the node name. A change is made in place and touches no broker.",
		Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
	}
}

// aloneHostAttribute is how a host is reached that no node name tells of.
func aloneHostAttribute() schema.StringAttribute {
	return schema.StringAttribute{
		Required:            true,
		MarkdownDescription: "Name or address by which the host is reached with SSH. A change is made in place.",
		Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
	}
}

// typeAttribute is how a member keeps the metadata. It has no default here: within a map of members one cannot be given.
func typeAttribute() schema.StringAttribute {
	return schema.StringAttribute{
		Optional:            true,
		Computed:            true,
		MarkdownDescription: "`disc` (default) or `ram`. RAM nodes exist before RabbitMQ 4.3 and on Mnesia only. A change is made in place: the node stops, joins anew and starts.",
		Validators:          []validator.String{stringvalidator.OneOf(string(topology.Disc), string(topology.RAM))},
	}
}

// allowDataLossAttribute lets steps destroy data, which are named.
func allowDataLossAttribute(steps string) schema.BoolAttribute {
	return schema.BoolAttribute{
		Optional:            true,
		Computed:            true,
		Default:             booldefault.StaticBool(false),
		MarkdownDescription: "Whether steps that destroy data may be taken: " + steps + ". Default: false, which refuses them with a list of what would go. It never lets a change take the majority of the metadata store away.",
	}
}

// rabbitmqctlAttribute is what stands for rabbitmqctl on one host.
func rabbitmqctlAttribute() schema.ListAttribute {
	return schema.ListAttribute{
		Optional:            true,
		ElementType:         types.StringType,
		MarkdownDescription: "Program and leading arguments that stand for `rabbitmqctl` on this host. Default: the provider's.",
		Validators:          []validator.List{listvalidator.SizeAtLeast(1)},
	}
}

// serviceAttribute is what runs the broker on one host.
func serviceAttribute() schema.StringAttribute {
	return schema.StringAttribute{
		Optional:            true,
		MarkdownDescription: "The systemd unit that runs the broker. Default: `rabbitmq-server`.",
		Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
	}
}

// timeoutsAttribute bounds what changes something.
func timeoutsAttribute(ctx context.Context, deletes bool) schema.Attribute {
	opts := timeouts.Opts{
		Create: true, Update: true, Delete: deletes,
		CreateDescription: "Bound of a create, as a duration. Default: `20m`.",
		UpdateDescription: "Bound of an update, as a duration. Default: `20m`.",
	}
	if deletes {
		opts.DeleteDescription = "Bound of a destroy, as a duration. Default: `20m`."
	}
	return timeouts.Attributes(ctx, opts)
}
