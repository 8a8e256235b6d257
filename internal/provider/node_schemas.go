package provider

import (
	"fmt"
	"reflect"
	"slices"

	aschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	dschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	eschema "github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	pschema "github.com/hashicorp/terraform-plugin-framework/provider/schema"
	rschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
)

// The framework has types of its own for the schemas of each kind. What describes hosts and nodes is written once, as a
// resource's attributes, and carried over here.

// nodeAttributes is one entry of a map of nodes that are only asked or acted upon.
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
	return carryOver[dschema.Attribute](from, dschema.StringAttribute{}, dschema.BoolAttribute{}, dschema.Int32Attribute{}, dschema.ListAttribute{}, dschema.MapAttribute{}, dschema.SingleNestedAttribute{})
}

func actionAttributes(from map[string]rschema.Attribute) map[string]aschema.Attribute {
	return carryOver[aschema.Attribute](from, aschema.StringAttribute{}, aschema.BoolAttribute{}, aschema.Int32Attribute{}, aschema.ListAttribute{}, aschema.MapAttribute{}, aschema.SingleNestedAttribute{})
}

func ephemeralAttributes(from map[string]rschema.Attribute) map[string]eschema.Attribute {
	return carryOver[eschema.Attribute](from, eschema.StringAttribute{}, eschema.BoolAttribute{}, eschema.Int32Attribute{}, eschema.ListAttribute{}, eschema.SingleNestedAttribute{})
}

func providerAttributes(from map[string]rschema.Attribute) map[string]pschema.Attribute {
	return carryOver[pschema.Attribute](from, pschema.StringAttribute{}, pschema.BoolAttribute{}, pschema.Int32Attribute{}, pschema.ListAttribute{})
}

// carryOver makes attributes of another kind of schema: each of the type that has the same name there, with every field
// that both have. What only resources have, such as plan modifiers, stays behind.
func carryOver[A any](from map[string]rschema.Attribute, kinds ...A) map[string]A {
	all := map[string]A{}
	for name, attribute := range from {
		was := reflect.ValueOf(attribute)
		i := slices.IndexFunc(kinds, func(kind A) bool { return reflect.TypeOf(kind).Name() == was.Type().Name() })
		if i < 0 {
			panic(fmt.Sprintf("%s: nothing stands for a %T there", name, attribute))
		}
		made := reflect.New(reflect.TypeOf(kinds[i])).Elem()
		for _, field := range reflect.VisibleFields(made.Type()) {
			if value := was.FieldByName(field.Name); value.IsValid() && value.Type() == field.Type {
				made.FieldByIndex(field.Index).Set(value)
			}
		}
		if object, nested := attribute.(rschema.SingleNestedAttribute); nested {
			made.FieldByName("Attributes").Set(reflect.ValueOf(carryOver(object.Attributes, kinds...)))
		}
		all[name], _ = made.Interface().(A)
	}
	return all
}
