package provider

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh"
)

// sshSettings are the settings of a connection: the provider's, or a host's own where it has some.
type sshSettings struct {
	ssh.Config
	Become         bool
	BecomeMethod   string
	BecomeUser     string
	BecomePassword ssh.Secret
	// ConfigFile is an ssh_config that fills in what nothing else sets.
	ConfigFile string
	// Profile names the profile that stands between a host and the provider.
	Profile string
}

// providerSSH gives the defaults of all hosts: the provider's ssh object over the environment.
func providerSSH(object types.Object) (sshSettings, diag.Diagnostics) {
	s := sshSettings{Become: true}
	s.Origins = map[string]string{}
	var diags diag.Diagnostics
	for _, f := range sshFields {
		value := os.Getenv(f.env())
		if !f.provider || value == "" {
			continue
		}
		if err := s.put(f, value, f.env()); err != nil {
			diags.AddAttributeError(path.Root("ssh").AtName(f.name), "Invalid SSH setting", badSetting(f, "the environment variable "+f.env(), value))
		}
	}
	s, more := s.overProvider(object, path.Root("ssh"), "the provider's ssh")
	return s, append(diags, more...)
}

// profileSSH gives what holds for the hosts of a profile: its object over the provider's.
func (s sshSettings) profileSSH(name string, object types.Object) (sshSettings, diag.Diagnostics) {
	return s.overProvider(object, path.Root("ssh_profiles").AtMapKey(name), fmt.Sprintf("ssh_profiles[%q]", name))
}

// overProvider gives the settings with those of an object of the provider over them, and its hops.
func (s sshSettings) overProvider(object types.Object, at path.Path, from string) (sshSettings, diag.Diagnostics) {
	var diags diag.Diagnostics
	s, err := s.with(object, from, func(f sshField) bool { return f.provider })
	if err != nil {
		diags.AddAttributeError(at, "Invalid SSH setting", err.Error())
	}
	bastions, _ := object.Attributes()["bastions"].(basetypes.ListValue)
	if bastions.IsNull() {
		return s, diags
	}
	s.Bastions = nil
	for i, element := range bastions.Elements() {
		hop := sshSettings{Config: s.asHop()}
		own, _ := element.(basetypes.ObjectValue)
		hop, err := hop.with(own, fmt.Sprintf("%s.bastions[%d]", from, i), func(f sshField) bool { return f.hop })
		if err != nil {
			diags.AddAttributeError(at.AtName("bastions").AtListIndex(i), "Invalid SSH setting", err.Error())
		}
		hop.Host, _ = plain(own.Attributes()["host"])
		s.Bastions = append(s.Bastions, hop.Config)
	}
	return s, diags
}

// asHop is what a hop takes over: who logs in and with what, and never what belongs to one host.
func (s sshSettings) asHop() ssh.Config {
	hop := ssh.Config{
		User: s.User, PrivateKey: s.PrivateKey, PrivateKeyFile: s.PrivateKeyFile, PrivateKeyPassphrase: s.PrivateKeyPassphrase,
		Certificate: s.Certificate, CertificateFile: s.CertificateFile, Agent: s.Agent, AgentIdentity: s.AgentIdentity,
		KnownHostsFiles: s.KnownHostsFiles, StrictHostKeyChecking: s.StrictHostKeyChecking,
		ConnectTimeout: s.ConnectTimeout, KeepaliveInterval: s.KeepaliveInterval, Origins: maps.Clone(s.Origins),
	}
	delete(hop.Origins, "port")
	return hop
}

// over gives the settings of one host: its own ssh object over the defaults.
func (s sshSettings) over(object types.Object) (sshSettings, error) {
	return s.with(object, "the host's ssh", func(f sshField) bool { return f.host })
}

// with gives the settings with those of an object over them.
func (s sshSettings) with(object types.Object, from string, in func(sshField) bool) (sshSettings, error) {
	s.Origins = maps.Clone(s.Origins)
	if s.Origins == nil {
		s.Origins = map[string]string{}
	}
	for _, f := range sshFields {
		if !in(f) {
			continue
		}
		value, set := plain(object.Attributes()[f.name])
		if !set {
			continue
		}
		if err := s.put(f, value, from); err != nil {
			return s, fmt.Errorf("%s", badSetting(f, f.name+" of "+from, value))
		}
	}
	return s, nil
}

// put sets one setting and notes where it comes from, for the errors. A key of its own takes the place of the one from
// above, in whatever form either comes; likewise a certificate.
func (s *sshSettings) put(f sshField, value, from string) error {
	drop := func(names ...string) {
		for _, name := range names {
			if s.Origins[name] == from { // two forms in one place: the check of the settings says so
				continue
			}
			delete(s.Origins, name)
			for _, other := range sshFields {
				if other.name == name {
					_ = other.set(s, "")
				}
			}
		}
	}
	switch f.name {
	case "private_key", "private_key_file":
		drop("private_key", "private_key_file", "private_key_passphrase", "certificate", "certificate_file")
	case "certificate", "certificate_file":
		drop("certificate", "certificate_file")
	}
	s.Origins[f.name] = from
	return f.set(s, value)
}

func badSetting(f sshField, from, value string) string {
	if f.secret {
		value = "(hidden)"
	}
	what := map[attr.Type]string{types.Int32Type: "a number", types.BoolType: "true or false"}[f.kind]
	if what == "" {
		what = `a duration such as "15s"`
	}
	return fmt.Sprintf("%s is %q; %s is expected.", from, value, what)
}

// plain gives a known value as text, lists joined by newlines.
func plain(value attr.Value) (string, bool) {
	if value == nil || value.IsNull() || value.IsUnknown() {
		return "", false
	}
	switch v := value.(type) {
	case basetypes.StringValue:
		return v.ValueString(), true
	case basetypes.BoolValue:
		return strconv.FormatBool(v.ValueBool()), true
	case basetypes.Int32Value:
		return strconv.Itoa(int(v.ValueInt32())), true
	case basetypes.ListValue:
		var all []string
		for _, element := range v.Elements() {
			if text, set := plain(element); set {
				all = append(all, text)
			}
		}
		return strings.Join(all, "\n"), true
	}
	return "", false
}
