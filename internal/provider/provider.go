// Package provider is the Terraform side of the product: schemas, models, plans and diagnostics, and nothing else.
package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
)

var _ provider.Provider = (*rabbitmqProvider)(nil)

// New returns the provider's constructor, as the plugin server wants it.
func New(version string) func() provider.Provider {
	return func() provider.Provider { return &rabbitmqProvider{version: version} }
}

type rabbitmqProvider struct {
	version string
}

func (p *rabbitmqProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "rabbitmq"
	resp.Version = p.version
}

func (p *rabbitmqProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{}
}

func (p *rabbitmqProvider) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {
}

func (p *rabbitmqProvider) Resources(context.Context) []func() resource.Resource { return nil }

func (p *rabbitmqProvider) DataSources(context.Context) []func() datasource.DataSource { return nil }
