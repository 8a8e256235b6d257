package provider

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int32validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	eschema "github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	rschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
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

// sshField is one attribute of an ssh object. The list below is all there is: schemas, environment and merging are
// made from it, so that they cannot drift apart.
type sshField struct {
	name      string
	kind      attr.Type
	secret    bool
	provider  bool // in the provider's ssh object, with an environment variable RABBITMQ_SSH_<NAME>
	host      bool // in a host's ssh object, which is kept in state and so holds no secret
	hop       bool // in a bastion's object
	text      string
	validator []validator.String
	set       func(s *sshSettings, value string) error
}

// lists are joined by newline and host keys are lines, so that every value can also come from the environment.
var sshFields = []sshField{
	{
		name: "user", kind: types.StringType, provider: true, host: true, hop: true,
		text: "Login name. Required, here or on the host: there is no default, so that nobody logs in as root by accident.",
		set:  func(s *sshSettings, v string) error { s.User = v; return nil },
	},
	{
		name: "port", kind: types.Int32Type, provider: true, host: true, hop: true,
		text: "TCP port of sshd. Default: 22.",
		set:  func(s *sshSettings, v string) (err error) { s.Port, err = strconv.Atoi(v); return err },
	},
	{
		name: "private_key", kind: types.StringType, secret: true, provider: true, hop: true,
		text: "Private key in PEM or OpenSSH format. Conflicts with `private_key_file`.",
		set:  func(s *sshSettings, v string) error { s.PrivateKey = ssh.Secret(v); return nil },
	},
	{
		name: "private_key_file", kind: types.StringType, provider: true, host: true, hop: true,
		text: "Path of a private key on the machine that runs Terraform; `~` is expanded.",
		set:  func(s *sshSettings, v string) error { s.PrivateKeyFile = v; return nil },
	},
	{
		name: "private_key_passphrase", kind: types.StringType, secret: true, provider: true, hop: true,
		text: "Passphrase of the private key, in whatever form that is given.",
		set:  func(s *sshSettings, v string) error { s.PrivateKeyPassphrase = ssh.Secret(v); return nil },
	},
	{
		name: "certificate", kind: types.StringType, provider: true, hop: true,
		text: "OpenSSH user certificate for the private key, or for a key of the agent, as one line. Conflicts with `certificate_file`.",
		set:  func(s *sshSettings, v string) error { s.Certificate = v; return nil },
	},
	{
		name: "certificate_file", kind: types.StringType, provider: true, host: true, hop: true,
		text: "Path of an OpenSSH user certificate on the machine that runs Terraform; `~` is expanded.",
		set:  func(s *sshSettings, v string) error { s.CertificateFile = v; return nil },
	},
	{
		name: "password", kind: types.StringType, secret: true, provider: true, hop: true,
		text: "Password for the methods password and keyboard-interactive. Offered after keys.",
		set:  func(s *sshSettings, v string) error { s.Password = ssh.Secret(v); return nil },
	},
	{
		name: "agent", kind: types.BoolType, provider: true, host: true, hop: true,
		text: "Whether the keys of the agent at `SSH_AUTH_SOCK` are offered. Default: true when that variable is set.",
		set: func(s *sshSettings, v string) error {
			b, err := strconv.ParseBool(v)
			s.Agent = &b
			return err
		},
	},
	{
		name: "agent_identity", kind: types.StringType, provider: true, host: true, hop: true,
		text: "The one key of the agent to offer: a public key line, a SHA256 fingerprint or a comment. Servers end a login after a few wrong keys.",
		set:  func(s *sshSettings, v string) error { s.AgentIdentity = v; return nil },
	},
	{
		name: "host_key", kind: types.StringType, host: true, hop: true,
		text: "The host's public key or keys, one line each as in `/etc/ssh/ssh_host_ed25519_key.pub`. Where it is set, known_hosts is not asked.",
		set:  func(s *sshSettings, v string) error { s.HostKey = lines(v); return nil },
	},
	{
		name: "host_ca_key", kind: types.StringType, host: true, hop: true,
		text: "Public key or keys, one line each, of the authorities whose host certificates are accepted. Where it is set, known_hosts is not asked.",
		set:  func(s *sshSettings, v string) error { s.HostCAKey = lines(v); return nil },
	},
	{
		name: "host_key_alias", kind: types.StringType, host: true, hop: true,
		text: "Name to look up in known_hosts, and in a host certificate, in place of the host's.",
		set:  func(s *sshSettings, v string) error { s.HostKeyAlias = v; return nil },
	},
	{
		name: "known_hosts_files", kind: types.ListType{ElemType: types.StringType}, provider: true,
		text: "Files of known host keys. Default: `~/.ssh/known_hosts`, `~/.ssh/known_hosts2` and `/etc/ssh/ssh_known_hosts`; missing ones are skipped. In the environment: separated by newlines.",
		set:  func(s *sshSettings, v string) error { s.KnownHostsFiles = lines(v); return nil },
	},
	{
		name: "strict_host_key_checking", kind: types.StringType, provider: true, host: true, hop: true,
		text:      "`yes` (default) refuses hosts whose key is not known; `accept-new` records the key of a new host and refuses a changed one; `no` checks nothing and is for throw-away hosts only.",
		validator: []validator.String{stringvalidator.OneOf(ssh.StrictYes, ssh.StrictAcceptNew, ssh.StrictNo)},
		set:       func(s *sshSettings, v string) error { s.StrictHostKeyChecking = v; return nil },
	},
	{
		name: "timeout", kind: types.StringType, provider: true, host: true,
		text: "How long to wait in all for a host that does not accept connections yet, for example while it boots, as a duration such as `5m` (default). Where the host need not be there yet (reading, planning, changing, destroying) the wait is 15 seconds at the most, and 3 seconds when its port refuses connections.",
		set:  func(s *sshSettings, v string) (err error) { s.Timeout, err = time.ParseDuration(v); return err },
	},
	{
		name: "connect_timeout", kind: types.StringType, provider: true, host: true, hop: true,
		text: "How long one attempt may take, from TCP to the end of authentication, as a duration. Default: `15s`.",
		set:  func(s *sshSettings, v string) (err error) { s.ConnectTimeout, err = time.ParseDuration(v); return err },
	},
	{
		name: "keepalive_interval", kind: types.StringType, provider: true, host: true,
		text: "Pause between two probes of an idle connection, as a duration; three without an answer end it. Default: `15s`.",
		set: func(s *sshSettings, v string) (err error) {
			s.KeepaliveInterval, err = time.ParseDuration(v)
			return err
		},
	},
	{
		name: "proxy_url", kind: types.StringType, secret: true, provider: true,
		text: "Proxy for the connection to the first hop: `socks5://…` or `http://…`, with a user and password if it wants them.",
		set:  func(s *sshSettings, v string) error { s.ProxyURL = ssh.Secret(v); return nil },
	},
	{
		name: "become", kind: types.BoolType, provider: true, host: true,
		text: "Whether other accounts are reached with `become_method`: the broker's for rabbitmqctl, root for systemctl. Default: true.",
		set:  func(s *sshSettings, v string) (err error) { s.Become, err = strconv.ParseBool(v); return err },
	},
	{
		name: "become_method", kind: types.StringType, provider: true, host: true,
		text:      "`sudo` (default) or `doas`.",
		validator: []validator.String{stringvalidator.OneOf(remote.Sudo, remote.Doas)},
		set:       func(s *sshSettings, v string) error { s.BecomeMethod = v; return nil },
	},
	{
		name: "become_user", kind: types.StringType, provider: true, host: true,
		text: "The one account that `become_method` may be used for. Default: whichever a command needs, which are `rabbitmq` for rabbitmqctl and the cookie, and root for the service. With `root`, the broker's account is reached from there with `runuser`; with `rabbitmq`, what needs root is an error.",
		set:  func(s *sshSettings, v string) error { s.BecomeUser = v; return nil },
	},
	{
		name: "become_password", kind: types.StringType, secret: true, provider: true,
		text: "Password that sudo asks for. It is sent on standard input, and only once sudo has asked; doas takes none.",
		set:  func(s *sshSettings, v string) error { s.BecomePassword = ssh.Secret(v); return nil },
	},
	{
		name: "ssh_config_file", kind: types.StringType, provider: true,
		text: "An OpenSSH client configuration, such as `~/.ssh/config`, for what nothing else sets: host name, user, port, key, certificate, agent, known hosts, ProxyJump. It is off unless set, and is read by `ssh -G`, so that `Match` and `Include` hold; `Match exec` runs its commands.",
		set:  func(s *sshSettings, v string) error { s.ConfigFile = v; return nil },
	},
	{
		name: "profile", kind: types.StringType, host: true,
		text: "Name of an entry of the provider's `ssh_profiles`: for hosts that need other secrets.",
		set:  func(s *sshSettings, v string) error { s.Profile = v; return nil },
	},
}

func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
}

func providerSSHAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional:            true,
		Attributes:          providerSSHFields(true),
		MarkdownDescription: "How hosts are reached. Every attribute can also come from the environment; what stands here wins over it. Values may be ephemeral, and none of them is stored.",
	}
}

// profilesAttribute has a set of settings for each kind of host that needs other secrets than the rest.
func profilesAttribute() schema.MapNestedAttribute {
	return schema.MapNestedAttribute{
		Optional:            true,
		NestedObject:        schema.NestedAttributeObject{Attributes: providerSSHFields(false)},
		MarkdownDescription: "Settings for hosts whose own `ssh` names one of these as its `profile`. What a profile leaves out comes from `ssh`. Values may be ephemeral, and none of them is stored.",
	}
}

func providerSSHFields(environment bool) map[string]schema.Attribute {
	attributes := map[string]schema.Attribute{}
	for _, f := range sshFields {
		if !f.provider {
			continue
		}
		text := f.text
		if environment {
			text += " Environment: `" + f.env() + "`."
		}
		switch f.kind {
		case types.Int32Type:
			attributes[f.name] = schema.Int32Attribute{Optional: true, MarkdownDescription: text, Validators: portRange}
		case types.BoolType:
			attributes[f.name] = schema.BoolAttribute{Optional: true, MarkdownDescription: text}
		case types.StringType:
			attributes[f.name] = schema.StringAttribute{Optional: true, Sensitive: f.secret, MarkdownDescription: text, Validators: f.validator}
		default:
			attributes[f.name] = schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: text}
		}
	}
	attributes["bastions"] = bastionsAttribute()
	return attributes
}

// bastionsAttribute is the list of hops on the way to every host.
func bastionsAttribute() schema.ListNestedAttribute {
	attributes := map[string]schema.Attribute{
		"host": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "Name or address of the hop, as the hop before it reaches it.",
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
		},
	}
	for _, f := range sshFields {
		if !f.hop {
			continue
		}
		switch f.kind {
		case types.Int32Type:
			attributes[f.name] = schema.Int32Attribute{Optional: true, MarkdownDescription: f.text, Validators: portRange}
		case types.BoolType:
			attributes[f.name] = schema.BoolAttribute{Optional: true, MarkdownDescription: f.text}
		default:
			attributes[f.name] = schema.StringAttribute{Optional: true, Sensitive: f.secret, MarkdownDescription: f.text, Validators: f.validator}
		}
	}
	return schema.ListNestedAttribute{
		Optional:            true,
		NestedObject:        schema.NestedAttributeObject{Attributes: attributes},
		MarkdownDescription: "Hosts to go through, in order, as with OpenSSH's ProxyJump. A hop takes user, keys and agent over from what stands beside `bastions`, and never its port, password or host keys.",
	}
}

// hostSSHAttribute is the ssh object of one host in a resource.
func hostSSHAttribute() rschema.SingleNestedAttribute {
	attributes := map[string]rschema.Attribute{}
	for _, f := range sshFields {
		if !f.host {
			continue
		}
		switch f.kind {
		case types.Int32Type:
			attributes[f.name] = rschema.Int32Attribute{Optional: true, MarkdownDescription: f.text, Validators: portRange}
		case types.BoolType:
			attributes[f.name] = rschema.BoolAttribute{Optional: true, MarkdownDescription: f.text}
		default:
			attributes[f.name] = rschema.StringAttribute{Optional: true, MarkdownDescription: f.text, Validators: f.validator}
		}
	}
	return rschema.SingleNestedAttribute{
		Optional:            true,
		Attributes:          attributes,
		MarkdownDescription: "What is different for this host; the provider's `ssh` holds for the rest. It is kept in state and holds no secret.",
	}
}

// ephemeralSSHAttribute is hostSSHAttribute for ephemeral resources, whose schemas have types of their own.
func ephemeralSSHAttribute() eschema.SingleNestedAttribute {
	attributes := map[string]eschema.Attribute{}
	for _, f := range sshFields {
		if !f.host {
			continue
		}
		switch f.kind {
		case types.Int32Type:
			attributes[f.name] = eschema.Int32Attribute{Optional: true, MarkdownDescription: f.text, Validators: portRange}
		case types.BoolType:
			attributes[f.name] = eschema.BoolAttribute{Optional: true, MarkdownDescription: f.text}
		default:
			attributes[f.name] = eschema.StringAttribute{Optional: true, MarkdownDescription: f.text, Validators: f.validator}
		}
	}
	return eschema.SingleNestedAttribute{
		Optional:            true,
		Attributes:          attributes,
		MarkdownDescription: "What is different for this host; the provider's `ssh` holds for the rest.",
	}
}

var portRange = []validator.Int32{int32validator.Between(1, 65535)}

// hostSSHType is the type of a host's ssh object.
var hostSSHType = func() types.ObjectType {
	kinds := map[string]attr.Type{}
	for _, f := range sshFields {
		if f.host {
			kinds[f.name] = f.kind
		}
	}
	return types.ObjectType{AttrTypes: kinds}
}()

func (f sshField) env() string { return "RABBITMQ_SSH_" + strings.ToUpper(f.name) }

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
