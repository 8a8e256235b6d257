package provider

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// Resource over profile over provider over environment over ssh_config_file, and each value knows where it came from.
func TestPrecedenceAndProvenance(t *testing.T) {
	t.Setenv("RABBITMQ_SSH_USER", "env")
	t.Setenv("RABBITMQ_SSH_CONNECT_TIMEOUT", "3s")
	t.Setenv("RABBITMQ_SSH_BECOME_PASSWORD", "secret")
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("Host db\n  HostName 10.0.0.9\n  User file\n  HostKeyAlias from-file\n  ConnectTimeout 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSession()
	defer func() { _ = s.pool.Close() }()
	kinds := providerKinds(t)
	var diags diagnostics
	if s.defaults, diags = providerSSH(object(t, kinds, map[string]attr.Value{"port": types.Int32Value(2022), "ssh_config_file": types.StringValue(file), "password": types.StringValue("p")})); diags.HasError() {
		t.Fatal(diags)
	}
	kind := types.ObjectType{AttrTypes: kinds}
	profiles, diags := types.MapValue(kind, map[string]attr.Value{"db": object(t, kinds, map[string]attr.Value{"user": types.StringValue("profiled"), "password": types.StringValue("other")})})
	if diags.HasError() || s.addProfiles(profiles).HasError() {
		t.Fatal(diags)
	}
	got, err := s.settings(host{Address: "db", SSH: object(t, hostSSHType.AttrTypes, map[string]attr.Value{"profile": types.StringValue("db"), "become_user": types.StringValue("root")})})
	if err != nil {
		t.Fatal(err)
	}
	if got.User != "profiled" || got.Password != "other" || got.Port != 2022 || got.Host != "10.0.0.9" || got.HostKeyAlias != "from-file" || got.ConnectTimeout != 3*time.Second ||
		got.BecomeUser != "root" || got.BecomePassword != "secret" {
		t.Errorf("%+v", got)
	}
	for attribute, want := range map[string]string{
		"user": `ssh_profiles["db"]`, "port": "the provider's ssh", "connect_timeout": "RABBITMQ_SSH_CONNECT_TIMEOUT", "become_user": "the host's ssh", "host_key_alias": file,
	} {
		if got.Origins[attribute] != want {
			t.Errorf("%s is from %q, want %q", attribute, got.Origins[attribute], want)
		}
	}
	if got, err = s.settings(host{Address: "db"}); err != nil || got.User != "env" || got.Origins["user"] != "RABBITMQ_SSH_USER" || got.Password != "p" {
		t.Errorf("%+v %v", got, err)
	}
	if err := os.Unsetenv("RABBITMQ_SSH_USER"); err != nil {
		t.Fatal(err)
	}
	if s.defaults, diags = providerSSH(object(t, kinds, map[string]attr.Value{"ssh_config_file": types.StringValue(file)})); diags.HasError() {
		t.Fatal(diags)
	}
	if got, err = s.settings(host{Address: "db"}); err != nil || got.User != "file" || got.Origins["user"] != file {
		t.Errorf("%+v %v", got, err)
	}
	if _, err = s.settings(host{Address: "db", SSH: object(t, hostSSHType.AttrTypes, map[string]attr.Value{"profile": types.StringValue("bd")})}); err == nil || !strings.Contains(err.Error(), `profile "bd" is none of the provider's ssh_profiles`) {
		t.Errorf("%v", err)
	}
	// Only who may wait is patient with a key that is not there yet.
	if got.LateKey {
		t.Error("a read waits for a key")
	}
	if got, err = s.settings(host{Address: "db", Wait: true}); err != nil || !got.LateKey {
		t.Errorf("%+v %v", got, err)
	}
}

func TestTwoFormsOfAKeyInOnePlaceAreAnError(t *testing.T) {
	s, diags := providerSSH(object(t, providerKinds(t), map[string]attr.Value{"user": types.StringValue("deploy"), "private_key": types.StringValue("x"), "private_key_file": types.StringValue("/key")}))
	if diags.HasError() {
		t.Fatal(diags)
	}
	s.Host = "rmq1"
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "private_key (from the provider's ssh) is set together with private_key_file") {
		t.Errorf("%v", err)
	}
}

func TestNoHostSettingIsASecret(t *testing.T) {
	for _, f := range sshFields {
		if f.host && f.secret {
			t.Errorf("%s is secret and would be kept in state", f.name)
		}
	}
}
