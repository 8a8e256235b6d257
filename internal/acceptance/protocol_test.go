//go:build linux

package acceptance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/provider"
)

// Actions and list resources need Terraform 1.14. Where there is no such command line they are run as it would run them:
// over the provider's own protocol, with the same calls in the same order.

// server is the provider as a command line that actions and queries need would see it.
type server struct {
	t       *testing.T
	calls   protocolServer
	schemas *tfprotov6.GetProviderSchemaResponse
}

// protocolServer is everything that the provider's server can do.
type protocolServer interface {
	tfprotov6.ProviderServer
	tfprotov6.ActionServer
	tfprotov6.ListResourceServer
}

// serve configures the provider for the lab.
func serve(t *testing.T) *server {
	t.Helper()
	made, err := providerserver.NewProtocol6WithError(provider.New("test")())()
	if err != nil {
		t.Fatal(err)
	}
	calls, ok := made.(protocolServer)
	if !ok {
		t.Fatal("the provider serves neither actions nor list resources")
	}
	s := &server{t: t, calls: calls}
	if s.schemas, err = calls.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{}); err != nil {
		t.Fatal(err)
	}
	config := s.value(s.schemas.Provider, map[string]any{"ssh": map[string]any{
		"user": lab.User, "private_key_file": suite.lab.PrivateKeyFile(), "known_hosts_files": []any{suite.lab.KnownHostsFile()},
	}})
	configured, err := calls.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{TerraformVersion: "1.14.0", Config: config})
	if err != nil {
		t.Fatal(err)
	}
	s.noErrors("configure", configured.Diagnostics)
	return s
}

// value makes a configuration. What is left out is null, as Terraform sends it.
func (s *server) value(schema *tfprotov6.Schema, config map[string]any) *tfprotov6.DynamicValue {
	s.t.Helper()
	kind := schema.ValueType()
	value, err := tfprotov6.NewDynamicValue(kind, filled(s.t, kind, config))
	if err != nil {
		s.t.Fatal(err)
	}
	return &value
}

func filled(t *testing.T, kind tftypes.Type, from any) tftypes.Value {
	t.Helper()
	if from == nil {
		return tftypes.NewValue(kind, nil)
	}
	switch kind := kind.(type) {
	case tftypes.Object:
		given, ok := from.(map[string]any)
		if !ok {
			t.Fatalf("%v is no object", from)
		}
		for name := range given {
			if _, there := kind.AttributeTypes[name]; !there {
				t.Fatalf("there is no attribute %q", name)
			}
		}
		attributes := map[string]tftypes.Value{}
		for name, of := range kind.AttributeTypes {
			attributes[name] = filled(t, of, given[name])
		}
		return tftypes.NewValue(kind, attributes)
	case tftypes.Map:
		elements := map[string]tftypes.Value{}
		for name, one := range from.(map[string]any) { //nolint:forcetypeassert // a test's own value
			elements[name] = filled(t, kind.ElementType, one)
		}
		return tftypes.NewValue(kind, elements)
	case tftypes.List:
		var elements []tftypes.Value
		for _, one := range from.([]any) { //nolint:forcetypeassert // a test's own value
			elements = append(elements, filled(t, kind.ElementType, one))
		}
		return tftypes.NewValue(kind, elements)
	}
	return tftypes.NewValue(kind, from)
}

// asJSON turns a value back into what encoding/json makes of its JSON.
func asJSON(t *testing.T, kind tftypes.Type, value *tfprotov6.DynamicValue) map[string]any {
	t.Helper()
	decoded, err := value.Unmarshal(kind)
	if err != nil {
		t.Fatal(err)
	}
	plain := plainOf(t, decoded)
	object, _ := plain.(map[string]any)
	return object
}

func plainOf(t *testing.T, value tftypes.Value) any {
	t.Helper()
	if value.IsNull() || !value.IsKnown() {
		return nil
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case value.Type().Is(tftypes.Object{}), value.Type().Is(tftypes.Map{}):
		var from map[string]tftypes.Value
		must(value.As(&from))
		to := map[string]any{}
		for name, one := range from {
			to[name] = plainOf(t, one)
		}
		return to
	case value.Type().Is(tftypes.List{}):
		var from []tftypes.Value
		must(value.As(&from))
		to := []any{}
		for _, one := range from {
			to = append(to, plainOf(t, one))
		}
		return to
	case value.Type().Is(tftypes.Bool):
		var b bool
		must(value.As(&b))
		return b
	}
	var text string
	must(value.As(&text))
	return text
}

func (s *server) noErrors(doing string, diagnostics []*tfprotov6.Diagnostic) {
	s.t.Helper()
	if errs := errorsOf(diagnostics); len(errs) > 0 {
		s.t.Fatalf("%s: %s", doing, strings.Join(errs, "\n"))
	}
}

func errorsOf(diagnostics []*tfprotov6.Diagnostic) []string {
	var all []string
	for _, d := range diagnostics {
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			all = append(all, d.Summary+": "+d.Detail)
		}
	}
	return all
}

// listed is one result of a query.
type listed struct {
	name               string
	identity, resource map[string]any
}

// list runs a list resource, as terraform query does.
func (s *server) list(kind string, config map[string]any, include bool, limit int64) ([]listed, []string) {
	s.t.Helper()
	schema, there := s.schemas.ListResourceSchemas[kind]
	if !there {
		s.t.Fatalf("there is no list resource %s", kind)
	}
	value := s.value(schema, config)
	valid, err := s.calls.ValidateListResourceConfig(s.t.Context(), &tfprotov6.ValidateListResourceConfigRequest{TypeName: kind, Config: value})
	if err != nil {
		s.t.Fatal(err)
	}
	if errs := errorsOf(valid.Diagnostics); len(errs) > 0 {
		return nil, errs
	}
	stream, err := s.calls.ListResource(s.t.Context(), &tfprotov6.ListResourceRequest{TypeName: kind, Config: value, IncludeResource: include, Limit: limit})
	if err != nil {
		s.t.Fatal(err)
	}
	identities, err := s.calls.GetResourceIdentitySchemas(s.t.Context(), &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []listed
	for result := range stream.Results {
		if errs := errorsOf(result.Diagnostics); len(errs) > 0 {
			return all, errs
		}
		one := listed{name: result.DisplayName, identity: asJSON(s.t, identities.IdentitySchemas[kind].ValueType(), result.Identity.IdentityData)}
		if include {
			one.resource = asJSON(s.t, s.schemas.ResourceSchemas[kind].ValueType(), result.Resource)
		}
		all = append(all, one)
	}
	return all, nil
}

func TestQueryListsTheMembersOfACluster(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	joinByHand(t, rmq2, rmq1)
	joinByHand(t, rmq3, rmq1)
	ctl(t, rmq1, "set_cluster_name", "orders")
	on(t, rmq3, "systemctl", "stop", "rabbitmq-server")
	s := serve(t)
	found, errs := s.list("rabbitmq_cluster_member", map[string]any{"node": rmq1.NodeName(), "host": rmq1.Address()}, true, 0)
	if len(errs) > 0 || len(found) != 3 {
		t.Fatalf("found %v: %v", found, errs)
	}
	var shown []string
	for i, h := range []*lab.Host{rmq1, rmq2, rmq3} {
		shown = append(shown, found[i].name)
		if found[i].identity["node"] != h.NodeName() || found[i].identity["host"] != h.Address() {
			t.Errorf("identity of %s: %v", h.Name(), found[i].identity)
		}
		r := found[i].resource
		peers, _ := r["peers"].(map[string]any)
		if r["node"] != h.NodeName() || r["host"] != h.Address() || r["type"] != "disc" || r["running"] != (h != rmq3) || r["cluster_name"] != "orders" || len(peers) != 3 {
			encoded, _ := json.Marshal(r)
			t.Errorf("%s: %s", h.Name(), encoded)
		}
	}
	if want := []string{"rabbit@rmq1 (disc, running)", "rabbit@rmq2 (disc, running)", "rabbit@rmq3 (disc, not running)"}; !slices.Equal(shown, want) {
		t.Errorf("shown as %q, want %q", shown, want)
	}
	if found, errs := s.list("rabbitmq_cluster_member", map[string]any{"node": rmq1.NodeName(), "host": rmq1.Address()}, false, 2); len(errs) > 0 || len(found) != 2 || found[0].resource != nil {
		t.Errorf("with a limit of 2: %v (%v)", found, errs)
	}
	if found, errs := s.list("rabbitmq_cluster_member", map[string]any{"node": rmq3.NodeName(), "host": rmq3.Address()}, false, 0); len(errs) == 0 || !strings.Contains(fmt.Sprint(errs), "does not run") {
		t.Errorf("through a member that is down: %v (%v)", found, errs)
	}
	if _, errs := s.list("rabbitmq_cluster_member", map[string]any{"node": "rmq1"}, false, 0); len(errs) == 0 {
		t.Error("a name without @ was taken for a node")
	}
}
