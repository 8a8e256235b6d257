package provider

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/function"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

var _ function.Function = cookieFunction{}

func newCookieFunction() function.Function { return cookieFunction{} }

// cookieFunction is cookie_hash: the hash of a cookie, to compare without showing it.
type cookieFunction struct{}

func (cookieFunction) Metadata(_ context.Context, _ function.MetadataRequest, resp *function.MetadataResponse) {
	resp.Name = "cookie_hash"
}

func (cookieFunction) Definition(_ context.Context, _ function.DefinitionRequest, resp *function.DefinitionResponse) {
	resp.Definition = function.Definition{
		Summary: "Hashes an Erlang cookie as RabbitMQ does",
		MarkdownDescription: "Gives the hash of an Erlang cookie as `rabbitmq-diagnostics erlang_cookie_hash` prints it, and as `rabbitmq_erlang_cookie` and the data sources have it in `hash` and `cookie_hash`: " +
			"the base64 of the MD5 of its bytes, without a line end after them. The hash is as sensitive as the value it is made from: Terraform marks it so, and `nonsensitive()` takes the mark off where a long random cookie makes that safe.",
		Parameters: []function.Parameter{function.StringParameter{
			Name:                "value",
			MarkdownDescription: "The cookie: 1 to 255 printable ASCII characters without blanks. Anything else is an error that does not show it.",
		}},
		Return: function.StringReturn{},
	}
}

func (cookieFunction) Run(ctx context.Context, req function.RunRequest, resp *function.RunResponse) {
	var value string
	if resp.Error = req.Arguments.Get(ctx, &value); resp.Error != nil {
		return
	}
	if err := rabbitmq.CheckCookie([]byte(strings.TrimRight(value, "\r\n"))); err != nil {
		resp.Error = function.NewArgumentFuncError(0, "This is no Erlang cookie: "+err.Error()+".")
		return
	}
	resp.Error = resp.Result.Set(ctx, rabbitmq.CookieHash([]byte(value)))
}
