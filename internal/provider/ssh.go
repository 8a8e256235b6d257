package provider

import (
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/remote"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh"
)

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
		text: "Private key in PEM or OpenSSH format, offered before those of the agent. Conflicts with `private_key_file`. Default: none.",
		set:  func(s *sshSettings, v string) error { s.PrivateKey = ssh.Secret(v); return nil },
	},
	{
		name: "private_key_file", kind: types.StringType, provider: true, host: true, hop: true,
		text: "Path of a private key on the machine that runs Terraform, offered before those of the agent; `~` is expanded. Default: none, and no key in `~/.ssh` is looked for.",
		set:  func(s *sshSettings, v string) error { s.PrivateKeyFile = v; return nil },
	},
	{
		name: "private_key_passphrase", kind: types.StringType, secret: true, provider: true, hop: true,
		text: "Passphrase of the private key, in whatever form that is given. Default: none, and an encrypted key is an error.",
		set:  func(s *sshSettings, v string) error { s.PrivateKeyPassphrase = ssh.Secret(v); return nil },
	},
	{
		name: "certificate", kind: types.StringType, provider: true, hop: true,
		text: "OpenSSH user certificate for the private key, or for a key of the agent, as one line. Conflicts with `certificate_file`. Default: none.",
		set:  func(s *sshSettings, v string) error { s.Certificate = v; return nil },
	},
	{
		name: "certificate_file", kind: types.StringType, provider: true, host: true, hop: true,
		text: "Path of an OpenSSH user certificate on the machine that runs Terraform; `~` is expanded. Default: none.",
		set:  func(s *sshSettings, v string) error { s.CertificateFile = v; return nil },
	},
	{
		name: "password", kind: types.StringType, secret: true, provider: true, hop: true,
		text: "Password for the methods password and keyboard-interactive. Offered after keys. Default: none, and neither method is tried.",
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
		text: "The one key of the agent to offer: a public key line, a SHA256 fingerprint or a comment. Servers end a login after a few wrong keys. Default: all of them, five at most.",
		set:  func(s *sshSettings, v string) error { s.AgentIdentity = v; return nil },
	},
	{
		name: "host_key", kind: types.StringType, host: true, hop: true,
		text: "The host's public key or keys, one line each as in `/etc/ssh/ssh_host_ed25519_key.pub`. Where it is set, known_hosts is not asked. Default: none.",
		set:  func(s *sshSettings, v string) error { s.HostKey = lines(v); return nil },
	},
	{
		name: "host_ca_key", kind: types.StringType, host: true, hop: true,
		text: "Public key or keys, one line each, of the authorities whose host certificates are accepted. Where it is set, known_hosts is not asked. Default: none.",
		set:  func(s *sshSettings, v string) error { s.HostCAKey = lines(v); return nil },
	},
	{
		name: "host_key_alias", kind: types.StringType, host: true, hop: true,
		text: "Name to look up in known_hosts, and in a host certificate, in place of the host's. Default: the host's.",
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
		text: "How long to wait in all for a host that does not accept connections yet, for example while it boots, as a duration such as `5m` (default). Where the host need not be there yet (reading, planning, changing, destroying) the wait is 15 seconds at the most, and 3 seconds when its port refuses connections or the same run has waited for it in vain before.",
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
		text: "Proxy for the connection to the first hop: `socks5://…` or `http://…`, with a user and password if it wants them. Default: none; the environment's `HTTPS_PROXY` and the like are not looked at.",
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
		text: "Password that sudo asks for. It is sent on standard input, and only once sudo has asked; doas takes none. Default: none, and a sudo that asks is an error.",
		set:  func(s *sshSettings, v string) error { s.BecomePassword = ssh.Secret(v); return nil },
	},
	{
		name: "ssh_config_file", kind: types.StringType, provider: true,
		text: "An OpenSSH client configuration, such as `~/.ssh/config`, for what nothing else sets: host name, user, port, key, certificate, agent, known hosts, ProxyJump. It is off unless set, and is read by `ssh -G`, so that `Match` and `Include` hold; `Match exec` runs its commands.",
		set:  func(s *sshSettings, v string) error { s.ConfigFile = v; return nil },
	},
	{
		name: "profile", kind: types.StringType, host: true,
		text: "Name of an entry of the provider's `ssh_profiles`: for hosts that need other secrets. Default: none; the provider's `ssh` holds.",
		set:  func(s *sshSettings, v string) error { s.Profile = v; return nil },
	},
}

func (f sshField) env() string { return "RABBITMQ_SSH_" + strings.ToUpper(f.name) }

func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
}
