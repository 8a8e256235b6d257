// Command schemajson prints the provider's schema in the JSON form of `terraform providers schema -json`, for the
// documentation generator.
//
// It asks the provider itself, over its own protocol, because what a command line prints depends on which one it is:
// Terraform leaves identities out before 1.12 and actions and list resources before 1.14, OpenTofu leaves out the last
// two and uses another key. The pages come out the same on every machine, with neither of them installed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/provider"
)

func main() {
	schemas, err := ask(context.Background())
	if err != nil {
		log.Fatal(err)
	}

	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")

	if err := encoder.Encode(schemas); err != nil {
		log.Fatal(err)
	}
}

// object is a JSON object; encoding/json sorts its keys, so the output is stable.
type object map[string]any

func ask(ctx context.Context) (object, error) {
	server, err := providerserver.NewProtocol6WithError(provider.New("docs")())()
	if err != nil {
		return nil, err
	}

	schema, err := server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		return nil, err
	}

	identities, err := server.GetResourceIdentitySchemas(ctx, &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil {
		return nil, err
	}

	if err := firstError(append(schema.Diagnostics, identities.Diagnostics...)); err != nil {
		return nil, err
	}

	actions := object{}
	for name, action := range schema.ActionSchemas {
		actions[name] = describe(action.Schema)
	}

	return object{
		"format_version": "1.0",
		"provider_schemas": object{
			"rabbitmq": object{
				"provider":                   describe(schema.Provider),
				"resource_schemas":           each(schema.ResourceSchemas, describe),
				"data_source_schemas":        each(schema.DataSourceSchemas, describe),
				"ephemeral_resource_schemas": each(schema.EphemeralResourceSchemas, describe),
				"list_resource_schemas":      each(schema.ListResourceSchemas, describe),
				"action_schemas":             actions,
				"functions":                  each(schema.Functions, describeFunction),
				"resource_identity_schemas":  each(identities.IdentitySchemas, describeIdentity),
			},
		},
	}, nil
}

func firstError(diagnostics []*tfprotov6.Diagnostic) error {
	for _, diagnostic := range diagnostics {
		if diagnostic.Severity == tfprotov6.DiagnosticSeverityError {
			return errors.New(diagnostic.Summary + ": " + diagnostic.Detail)
		}
	}

	return nil
}

func each[T any](things map[string]T, describe func(T) object) object {
	described := object{}
	for name, thing := range things {
		described[name] = describe(thing)
	}

	return described
}

func describe(schema *tfprotov6.Schema) object {
	return object{"version": schema.Version, "block": describeBlock(schema.Block)}
}

func describeBlock(block *tfprotov6.SchemaBlock) object {
	blocks := object{}
	for _, nested := range block.BlockTypes {
		blocks[nested.TypeName] = object{
			"nesting_mode": strings.ToLower(nested.Nesting.String()),
			"block":        describeBlock(nested.Block),
			"min_items":    nested.MinItems,
			"max_items":    nested.MaxItems,
		}
	}

	return object{
		"attributes":       describeAttributes(block.Attributes),
		"block_types":      blocks,
		"description":      block.Description,
		"description_kind": kind(block.DescriptionKind),
		"deprecated":       block.Deprecated,
	}
}

func describeAttributes(attributes []*tfprotov6.SchemaAttribute) object {
	described := object{}

	for _, attribute := range attributes {
		one := object{
			"description":      attribute.Description,
			"description_kind": kind(attribute.DescriptionKind),
			"required":         attribute.Required,
			"optional":         attribute.Optional,
			"computed":         attribute.Computed,
			"sensitive":        attribute.Sensitive,
			"write_only":       attribute.WriteOnly,
			"deprecated":       attribute.Deprecated,
		}

		if nested := attribute.NestedType; nested != nil {
			one["nested_type"] = object{
				"attributes":   describeAttributes(nested.Attributes),
				"nesting_mode": strings.ToLower(nested.Nesting.String()),
			}
		} else {
			one["type"] = describeType(attribute.Type)
		}

		described[attribute.Name] = one
	}

	return described
}

func describeIdentity(identity *tfprotov6.ResourceIdentitySchema) object {
	attributes := object{}
	for _, attribute := range identity.IdentityAttributes {
		attributes[attribute.Name] = object{
			"type":                describeType(attribute.Type),
			"description":         attribute.Description,
			"required_for_import": attribute.RequiredForImport,
			"optional_for_import": attribute.OptionalForImport,
		}
	}

	return object{"version": identity.Version, "attributes": attributes}
}

func describeFunction(function *tfprotov6.Function) object {
	described := object{
		"summary":             function.Summary,
		"description":         function.Description,
		"deprecation_message": function.DeprecationMessage,
		"return_type":         describeType(function.Return.Type),
	}

	parameters := make([]object, 0, len(function.Parameters))
	for _, parameter := range function.Parameters {
		parameters = append(parameters, describeParameter(parameter))
	}

	described["parameters"] = parameters

	if function.VariadicParameter != nil {
		described["variadic_parameter"] = describeParameter(function.VariadicParameter)
	}

	return described
}

func describeParameter(parameter *tfprotov6.FunctionParameter) object {
	return object{
		"name":        parameter.Name,
		"description": parameter.Description,
		"is_nullable": parameter.AllowNullValue,
		"type":        describeType(parameter.Type),
	}
}

func kind(kind tfprotov6.StringKind) string {
	if kind == tfprotov6.StringKindMarkdown {
		return "markdown"
	}

	return "plain"
}

// describeType is the type notation of the JSON: "string", ["map", "string"], ["object", {"host": "string"}].
func describeType(t tftypes.Type) any {
	switch t := t.(type) {
	case tftypes.List:
		return []any{"list", describeType(t.ElementType)}
	case tftypes.Set:
		return []any{"set", describeType(t.ElementType)}
	case tftypes.Map:
		return []any{"map", describeType(t.ElementType)}
	case tftypes.Object:
		attributes := object{}
		for name, attribute := range t.AttributeTypes {
			attributes[name] = describeType(attribute)
		}

		return []any{"object", attributes}
	case tftypes.Tuple:
		elements := make([]any, 0, len(t.ElementTypes))
		for _, element := range t.ElementTypes {
			elements = append(elements, describeType(element))
		}

		return []any{"tuple", elements}
	}

	switch {
	case t.Is(tftypes.String):
		return "string"
	case t.Is(tftypes.Number):
		return "number"
	case t.Is(tftypes.Bool):
		return "bool"
	case t.Is(tftypes.DynamicPseudoType):
		return "dynamic"
	}

	panic(fmt.Sprintf("no JSON notation for the type %s", t))
}
