package provider

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh"
)

// object makes an ssh object of the given kind, with every attribute that is not given null.
func object(t *testing.T, kinds map[string]attr.Type, values map[string]attr.Value) types.Object {
	t.Helper()
	all := map[string]attr.Value{}
	for name, kind := range kinds {
		value, err := kind.ValueFromTerraform(t.Context(), tftypes.NewValue(kind.TerraformType(t.Context()), nil))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = value
	}
	for name, value := range values {
		all[name] = value
	}
	made, diags := types.ObjectValue(kinds, all)
	if diags.HasError() {
		t.Fatal(diags)
	}
	return made
}

func providerKinds(t *testing.T) map[string]attr.Type {
	t.Helper()
	kind, ok := providerSSHAttribute().GetType().(types.ObjectType)
	if !ok {
		t.Fatal("the provider's ssh is no object")
	}
	return kind.AttrTypes
}

func TestHostOverProviderOverEnvironment(t *testing.T) {
	t.Setenv("RABBITMQ_SSH_USER", "from-env")
	t.Setenv("RABBITMQ_SSH_PORT", "2022")
	t.Setenv("RABBITMQ_SSH_KNOWN_HOSTS_FILES", "/a\n/b")
	t.Setenv("RABBITMQ_SSH_BECOME", "false")
	defaults, diags := providerSSH(object(t, providerKinds(t), map[string]attr.Value{"user": types.StringValue("deploy")}))
	if diags.HasError() {
		t.Fatal(diags)
	}
	if defaults.User != "deploy" || defaults.Port != 2022 || len(defaults.KnownHostsFiles) != 2 || defaults.Become {
		t.Errorf("provider over environment: %+v", defaults)
	}
	own, err := defaults.over(object(t, hostSSHType.AttrTypes, map[string]attr.Value{"port": types.Int32Value(22), "become": types.BoolValue(true)}))
	if err != nil || own.User != "deploy" || own.Port != 22 || !own.Become {
		t.Errorf("host over provider: %+v (%v)", own, err)
	}
}

func TestAKeyOfItsOwnReplacesTheOneFromAbove(t *testing.T) {
	t.Setenv("RABBITMQ_SSH_PRIVATE_KEY", "from-env")
	t.Setenv("RABBITMQ_SSH_PRIVATE_KEY_PASSPHRASE", "from-env")
	t.Setenv("RABBITMQ_SSH_CERTIFICATE", "from-env")
	defaults, diags := providerSSH(object(t, providerKinds(t), map[string]attr.Value{"private_key_file": types.StringValue("/key")}))
	if diags.HasError() {
		t.Fatal(diags)
	}
	if defaults.PrivateKey != "" || defaults.PrivateKeyFile != "/key" || defaults.PrivateKeyPassphrase != "" || defaults.Certificate != "" {
		t.Errorf("a key file beside what belongs to another key: %+v", defaults)
	}
}

func TestABastionTakesOverTheLoginAndNothingThatIsTheHosts(t *testing.T) {
	kinds := providerKinds(t)
	list, ok := kinds["bastions"].(types.ListType)
	if !ok {
		t.Fatal("bastions is no list")
	}
	hopKind, ok := list.ElemType.(types.ObjectType)
	if !ok {
		t.Fatal("a bastion is no object")
	}
	hop := object(t, hopKind.AttrTypes, map[string]attr.Value{"host": types.StringValue("bastion.example.com")})
	hops, diags := types.ListValue(hopKind, []attr.Value{hop})
	if diags.HasError() {
		t.Fatal(diags)
	}
	s, diags := providerSSH(object(t, kinds, map[string]attr.Value{
		"user": types.StringValue("deploy"), "port": types.Int32Value(2022), "password": types.StringValue("secret"),
		"private_key_file": types.StringValue("/key"), "strict_host_key_checking": types.StringValue("accept-new"), "bastions": hops,
	}))
	if diags.HasError() {
		t.Fatal(diags)
	}
	if len(s.Bastions) != 1 {
		t.Fatalf("%d bastions", len(s.Bastions))
	}
	b := s.Bastions[0]
	if b.Host != "bastion.example.com" || b.User != "deploy" || b.PrivateKeyFile != "/key" || b.StrictHostKeyChecking != ssh.StrictAcceptNew {
		t.Errorf("not taken over: %+v", b)
	}
	if b.Port != 0 || b.Password != "" || b.HostKey != nil {
		t.Errorf("taken over although it is the host's: %+v", b)
	}
}

func TestABadSettingIsNamedWithoutItsSecret(t *testing.T) {
	t.Setenv("RABBITMQ_SSH_PORT", "ssh")
	_, diags := providerSSH(object(t, providerKinds(t), nil))
	if !diags.HasError() {
		t.Fatal("a port that is no number was taken")
	}
	if want := `the environment variable RABBITMQ_SSH_PORT is "ssh"; a number is expected.`; diags[0].Detail() != want {
		t.Errorf("got %q, want %q", diags[0].Detail(), want)
	}
}

func TestNoHostSettingIsASecret(t *testing.T) {
	for _, f := range sshFields {
		if f.host && f.secret {
			t.Errorf("%s is secret and would be kept in state", f.name)
		}
	}
}
