package provider

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/int32validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	rschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// The ssh objects of the provider, of its bastions and of one host, made from the list of fields.

func providerSSHAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional:            true,
		Attributes:          providerSSHFields(true),
		MarkdownDescription: "How hosts are reached. Every attribute can also come from the environment; what stands here wins over it. Values may be ephemeral, and none of them is stored.",
	}
}

// profilesAttribute has a set of settings for each kind of host that needs other secrets than the rest.
func profilesAttribute() schema.MapNestedAttribute {
	return schema.MapNestedAttribute{
		Optional:            true,
		NestedObject:        schema.NestedAttributeObject{Attributes: providerSSHFields(false)},
		MarkdownDescription: "Settings for hosts whose own `ssh` names one of these as its `profile`. What a profile leaves out comes from `ssh`. Values may be ephemeral, and none of them is stored.",
	}
}

// sshAttributes are the fields of one kind of ssh object, with the environment variables that stand for them where there
// are any.
func sshAttributes(in func(sshField) bool, environment bool) map[string]rschema.Attribute {
	attributes := map[string]rschema.Attribute{}
	for _, f := range sshFields {
		if !in(f) {
			continue
		}
		if environment {
			f.text += " Environment: `" + f.env() + "`."
		}
		switch f.kind {
		case types.Int32Type:
			attributes[f.name] = rschema.Int32Attribute{Optional: true, MarkdownDescription: f.text, Validators: portRange}
		case types.BoolType:
			attributes[f.name] = rschema.BoolAttribute{Optional: true, MarkdownDescription: f.text}
		case types.StringType:
			attributes[f.name] = rschema.StringAttribute{Optional: true, Sensitive: f.secret, MarkdownDescription: f.text, Validators: f.validator}
		default:
			attributes[f.name] = rschema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: f.text}
		}
	}
	return attributes
}

func providerSSHFields(environment bool) map[string]schema.Attribute {
	attributes := providerAttributes(sshAttributes(func(f sshField) bool { return f.provider }, environment))
	attributes["bastions"] = bastionsAttribute()
	return attributes
}

// bastionsAttribute is the list of hops on the way to every host.
func bastionsAttribute() schema.ListNestedAttribute {
	attributes := providerAttributes(sshAttributes(func(f sshField) bool { return f.hop }, false))
	attributes["host"] = schema.StringAttribute{
		Required:            true,
		MarkdownDescription: "Name or address of the hop, as the hop before it reaches it.",
		Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
	}
	return schema.ListNestedAttribute{
		Optional:            true,
		NestedObject:        schema.NestedAttributeObject{Attributes: attributes},
		MarkdownDescription: "Hosts to go through, in order, as with OpenSSH's ProxyJump. A hop takes user, keys and agent over from what stands beside `bastions`, and never its port, password or host keys.",
	}
}

// hostSSHAttribute is the ssh object of one host in a resource.
func hostSSHAttribute() rschema.SingleNestedAttribute {
	return rschema.SingleNestedAttribute{
		Optional:            true,
		CustomType:          hostSSHType,
		Attributes:          sshAttributes(func(f sshField) bool { return f.host }, false),
		MarkdownDescription: "What is different for this host; the provider's `ssh` holds for the rest. It is kept in state and holds no secret.",
	}
}

var portRange = []validator.Int32{int32validator.Between(1, 65535)}

// hostSSHType is the type of a host's ssh object.
var hostSSHType = func() types.ObjectType {
	kinds := map[string]attr.Type{}
	for _, f := range sshFields {
		if f.host {
			kinds[f.name] = f.kind
		}
	}
	return types.ObjectType{AttrTypes: kinds}
}()
