// Command terraform-provider-rabbitmq serves the provider to Terraform and OpenTofu.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/provider"
)

// address is what a required_providers source resolves to; with -debug it is the key of TF_REATTACH_PROVIDERS.
const address = "registry.terraform.io/rabbitmq-topology/rabbitmq"

// Set by the release build and by make, through -ldflags.
var (
	version = "dev"
	commit  = "unknown"
)

func main() {
	debug := flag.Bool("debug", false, "wait for a debugger, and print the TF_REATTACH_PROVIDERS to run with")
	showVersion := flag.Bool("version", false, "print the version and the commit, and exit")
	flag.Parse()

	if *showVersion {
		fmt.Printf("terraform-provider-rabbitmq %s (commit %s)\n", version, commit)
		return
	}

	err := providerserver.Serve(context.Background(), provider.New(version), providerserver.ServeOpts{
		Address: address,
		Debug:   *debug,
	})
	if err != nil {
		log.Fatal(err)
	}
}
