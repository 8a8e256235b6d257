package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

// cookieSource checks where the cookie comes from, and the cookie. Its errors name the attribute in words and not by
// its path: the CLI quotes the line that a path leads to, and the line may have a cookie with a slip in it.
type cookieSource struct{}

func (cookieSource) Description(context.Context) string {
	return "exactly one of value and value_wo, of 1 to 255 printable ASCII characters without blanks"
}

func (v cookieSource) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (cookieSource) ValidateResource(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config cookieModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	switch {
	case config.Value.IsNull() && config.ValueWO.IsNull():
		resp.Diagnostics.AddError("No Erlang cookie", "Set `value_wo` and `value_wo_version`, or `value`, which is kept in state.")
	case config.Value.IsUnknown() || config.ValueWO.IsUnknown():
		// Null is still possible.
	case !config.Value.IsNull() && !config.ValueWO.IsNull():
		resp.Diagnostics.AddError("Two Erlang cookies", "`value` and `value_wo` are both set. Keep `value_wo`; or `value`, which is kept in state.")
	case !config.ValueWO.IsNull() && config.ValueWOVersion.IsNull():
		resp.Diagnostics.AddError("No version of the Erlang cookie", "`value_wo` is set without `value_wo_version`. Set it to 1, and raise it whenever `value_wo` changes: a write-only value is not kept, so that its change cannot be seen.")
	}
	for _, one := range []struct {
		name  string
		value types.String
	}{{"value", config.Value}, {"value_wo", config.ValueWO}} {
		if one.value.IsNull() || one.value.IsUnknown() {
			continue
		}
		if err := rabbitmq.CheckCookie([]byte(one.value.ValueString())); err != nil {
			resp.Diagnostics.AddError("Invalid Erlang cookie", "`"+one.name+"`: "+sentence(err))
		}
	}
}

// cookiePath checks the path of a cookie file.
type cookiePath struct{}

func (cookiePath) Description(context.Context) string               { return "an absolute path" }
func (v cookiePath) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

func (cookiePath) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if text := req.ConfigValue.ValueString(); !req.ConfigValue.IsNull() && !req.ConfigValue.IsUnknown() && !rabbitmq.CookieFileName(text) {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid path", fmt.Sprintf("%q is not an absolute path without quotes, dollar signs, backticks, backslashes and exclamation marks.", text))
	}
}
