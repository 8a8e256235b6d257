package simulation

import (
	"context"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/provider"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh"
)

// A process of the provider, and what is asked of it.

// process is one run of the provider's program.
type process struct {
	server  tfprotov6.ProviderServer
	schemas map[string]*tfprotov6.Schema
	ghosts  *sync.WaitGroup
	wires   *wires // nil on the machine's own network
	cancel  context.CancelFunc
}

// errKilled is what core makes of a provider that is no more.
var errKilled = Failed{{"provider", "Plugin did not respond", "The plugin encountered an error, and failed to respond to the call."}}

// ask calls the provider. A process that is killed meanwhile answers nothing, whatever its goroutines still do: nothing
// that they want to reach is there for them.
func ask[Request, Response any](ctx context.Context, p *process, rpc func(context.Context, Request) (Response, error), request Request) (Response, error) {
	if p.wires == nil {
		return rpc(ctx, request)
	}
	type answer struct {
		response Response
		err      error
	}
	answered := make(chan answer, 1)
	p.ghosts.Go(func() {
		response, err := rpc(ssh.WithDialer(ctx, p.wires.dial), request)
		answered <- answer{response, err}
	})
	select {
	case <-p.wires.killed:
	case a := <-answered:
		select {
		case <-p.wires.killed:
		default:
			return a.response, a.err
		}
	}
	p.cancel()
	var none Response
	return none, errKilled
}

// stop ends the process after its work.
func (p *process) stop() {
	if p.wires != nil {
		p.wires.cut(false)
		p.cancel()
	}
}

// allSchemas are the same for every process.
var allSchemas = sync.OnceValues(func() (*tfprotov6.GetProviderSchemaResponse, error) {
	return providerserver.NewProtocol6(provider.New("simulation")())().GetProviderSchema(context.Background(), &tfprotov6.GetProviderSchemaRequest{})
})

func (tf *Terraform) start(ctx context.Context) (context.Context, *process, error) {
	schema, err := allSchemas()
	if err != nil {
		return ctx, nil, err
	}
	p := &process{server: providerserver.NewProtocol6(provider.New("simulation")())(), schemas: schema.ResourceSchemas, ghosts: &tf.ghosts}
	if tf.Network != nil {
		p.wires = tf.Network.open()
		ctx, p.cancel = context.WithCancel(ctx)
	}
	if err := tf.configure(ctx, p, schema.Provider); err != nil {
		p.stop()
		return ctx, nil, err
	}
	return ctx, p, nil
}

func (tf *Terraform) configure(ctx context.Context, p *process, schema *tfprotov6.Schema) error {
	kind := schema.ValueType()
	config, err := value(kind, tf.Provider)
	if err != nil {
		return err
	}
	dynamic, err := tfprotov6.NewDynamicValue(kind, config)
	if err != nil {
		return err
	}
	configured, err := ask(ctx, p, p.server.ConfigureProvider, &tfprotov6.ConfigureProviderRequest{TerraformVersion: "1.14.0", Config: &dynamic})
	if err != nil {
		return err
	}
	if failed := failures("provider", configured.Diagnostics); len(failed) > 0 {
		return failed
	}
	return nil
}
