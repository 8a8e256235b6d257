package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

// nodeNameValidator checks an Erlang node name.
type nodeNameValidator struct{}

func (nodeNameValidator) Description(context.Context) string { return "an Erlang node name, NAME@HOST" }

func (v nodeNameValidator) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (nodeNameValidator) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if err := rabbitmq.CheckNodeName(req.ConfigValue.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid node name", sentence(err))
	}
}
