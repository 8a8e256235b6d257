package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/function"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

var _ function.Function = statusFunction{}

func newStatusFunction() function.Function { return statusFunction{} }

// statusFunction is parse_cluster_status: what somebody else's rabbitmqctl printed, as an object.
type statusFunction struct{}

func (statusFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "parse_cluster_status"
}

func (statusFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "Reads the output of rabbitmqctl cluster_status",
		MarkdownDescription: "Turns what `rabbitmqctl cluster_status --formatter json` printed into an object, from RabbitMQ 3.7 to 4.3, and what the command of 3.6 and 3.7 printed as Erlang terms. " +
			"Banners, log lines with braces in them and colour codes around it are left out, and the `running_nodes` that 4.1.2 and 4.1.3 print as one string are taken apart. " +
			"What it does not understand is an error and never an empty list.\n\n" +
			"The object has `cluster_name`; `members`, by node name, each with `type` (`disc` or `ram`), `running`, `version`, `erlang_version`, `maintenance` and `listeners` (`protocol`, `interface`, `port`); " +
			"`partitions`, by the node that reports to have been cut off from the listed ones; `alarms`, each with `node` and `resource` (`memory`, `disk` or `file_descriptor_limit`); and `feature_flags`, the state of each by name. " +
			"What the version in question does not print, or the node that was asked did not know, is null.",
		Parameters: []function.Parameter{function.StringParameter{
			Name:                "text",
			MarkdownDescription: "What the command printed, whole.",
		}},
		Return: function.ObjectReturn{AttributeTypes: parsedStatusTypes},
	}
}

func (statusFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var text string
	if resp.Error = req.Arguments.Get(ctx, &text); resp.Error != nil {
		return
	}
	status, err := rabbitmq.ParseClusterStatus(text)
	if err != nil {
		resp.Error = function.NewArgumentFuncError(0, "This is no output of cluster_status that is understood: "+err.Error()+".")
		return
	}
	resp.Error = resp.Result.Set(ctx, parsedStatus(status))
}
