package provider

import (
	"fmt"

	aschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	dschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	rschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
)

// The framework has types of its own for the schemas of data sources, actions and list resources. What describes hosts
// and nodes is written once, as a resource's attributes, and carried over here.

// nodeAttributes is one entry of such a map.
func nodeAttributes() map[string]rschema.Attribute {
	return map[string]rschema.Attribute{
		"host":             rschema.StringAttribute{Optional: true, MarkdownDescription: "Name or address by which the host is reached with SSH. Default: what stands after the `@` of the node name."},
		"ssh":              hostSSHAttribute(),
		"type":             rschema.StringAttribute{Optional: true, MarkdownDescription: "Ignored, so that one map can serve everything."},
		"rabbitmqctl":      rabbitmqctlAttribute(),
		"service":          serviceAttribute(),
		"service_commands": serviceCommandsAttribute(),
	}
}

func dataAttributes(from map[string]rschema.Attribute) map[string]dschema.Attribute {
	to := map[string]dschema.Attribute{}
	for name, a := range from {
		switch a := a.(type) {
		case rschema.StringAttribute:
			to[name] = dschema.StringAttribute{Required: a.Required, Optional: !a.Required, MarkdownDescription: a.MarkdownDescription, Validators: a.Validators}
		case rschema.BoolAttribute:
			to[name] = dschema.BoolAttribute{Required: a.Required, Optional: !a.Required, MarkdownDescription: a.MarkdownDescription}
		case rschema.Int32Attribute:
			to[name] = dschema.Int32Attribute{Required: a.Required, Optional: !a.Required, MarkdownDescription: a.MarkdownDescription, Validators: a.Validators}
		case rschema.ListAttribute:
			to[name] = dschema.ListAttribute{Required: a.Required, Optional: !a.Required, ElementType: a.ElementType, MarkdownDescription: a.MarkdownDescription, Validators: a.Validators}
		case rschema.MapAttribute:
			to[name] = dschema.MapAttribute{Optional: true, ElementType: a.ElementType, MarkdownDescription: a.MarkdownDescription, Validators: a.Validators}
		case rschema.SingleNestedAttribute:
			to[name] = dschema.SingleNestedAttribute{Optional: true, Attributes: dataAttributes(a.Attributes), MarkdownDescription: a.MarkdownDescription, Validators: a.Validators}
		default:
			panic(fmt.Sprintf("no data source attribute for %T", a))
		}
	}
	return to
}

func actionAttributes(from map[string]rschema.Attribute) map[string]aschema.Attribute {
	to := map[string]aschema.Attribute{}
	for name, a := range from {
		switch a := a.(type) {
		case rschema.StringAttribute:
			to[name] = aschema.StringAttribute{Required: a.Required, Optional: !a.Required, MarkdownDescription: a.MarkdownDescription, Validators: a.Validators}
		case rschema.BoolAttribute:
			to[name] = aschema.BoolAttribute{Required: a.Required, Optional: !a.Required, MarkdownDescription: a.MarkdownDescription}
		case rschema.Int32Attribute:
			to[name] = aschema.Int32Attribute{Required: a.Required, Optional: !a.Required, MarkdownDescription: a.MarkdownDescription, Validators: a.Validators}
		case rschema.ListAttribute:
			to[name] = aschema.ListAttribute{Required: a.Required, Optional: !a.Required, ElementType: a.ElementType, MarkdownDescription: a.MarkdownDescription, Validators: a.Validators}
		case rschema.MapAttribute:
			to[name] = aschema.MapAttribute{Optional: true, ElementType: a.ElementType, MarkdownDescription: a.MarkdownDescription, Validators: a.Validators}
		case rschema.SingleNestedAttribute:
			to[name] = aschema.SingleNestedAttribute{Optional: true, Attributes: actionAttributes(a.Attributes), MarkdownDescription: a.MarkdownDescription, Validators: a.Validators}
		default:
			panic(fmt.Sprintf("no action attribute for %T", a))
		}
	}
	return to
}
