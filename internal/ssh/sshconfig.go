package ssh

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxJumps ends the search for a way through hops that name each other.
const maxJumps = 8

// FillFromFile fills what is not set in c with what an OpenSSH client configuration says of c.Host. The file is read by
// `ssh -G`, which resolves and does not connect: no other reader gets Match, Include and tokens right. Its settings are
// noted in c.Origins. The error is a [ConfigError].
func FillFromFile(ctx context.Context, file string, c Config) (Config, error) {
	path, err := expandHome(file)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err == nil {
		_, err = os.Stat(path)
	}
	if err == nil && strings.ContainsAny(path, "\"\n") {
		err = errors.New("has a name that cannot be quoted")
	}
	var program string
	if err == nil {
		if program, err = exec.LookPath("ssh"); err != nil {
			err = errors.New("is read by OpenSSH's ssh, which is not installed here: install it, or set the attributes themselves")
		}
	}
	if err != nil {
		return c, &ConfigError{Host: c.Host, Attribute: "ssh_config_file", Err: err}
	}
	r := resolver{program: program, file: path, origin: file}
	filled, err := r.fill(ctx, c)
	if err == nil && len(c.Bastions) == 0 {
		filled.Bastions, err = r.hops(ctx, c, filled, 0)
	}
	filled.Bastions = slices.Clone(filled.Bastions)
	for i := 0; err == nil && i < len(c.Bastions); i++ {
		filled.Bastions[i], err = r.fill(ctx, c.Bastions[i])
	}
	if err != nil {
		return c, &ConfigError{Host: c.Host, Attribute: "ssh_config_file", Err: err}
	}
	return filled, nil
}

type resolver struct{ program, file, origin string }

// settings are lines of `ssh -G`: lower-case names, several values for some.
type settings map[string][]string

func (s settings) one(name string) string {
	if v := s[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// ask resolves one host. ssh -G prints every setting, its own defaults too. What the file sets is told from those by
// naming a default of ours after it: the first value counts.
func (r resolver) ask(ctx context.Context, c Config) (settings, string, error) {
	unset := "unset-" + rand.Text()
	dir, err := os.MkdirTemp("", "ssh_config")
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it holds the name of a file
	text := fmt.Sprintf("Include \"%s\"\nMatch all\nUser %[2]s\nUserKnownHostsFile /%[2]s\nGlobalKnownHostsFile /%[2]s\nIdentityFile /%[2]s\n", r.file, unset)
	wrapper := filepath.Join(dir, "config")
	if err := os.WriteFile(wrapper, []byte(text), 0o600); err != nil {
		return nil, "", err
	}
	argv := []string{"-G", "-F", wrapper}
	if c.User != "" {
		argv = append(argv, "-l", c.User)
	}
	if c.Port != 0 {
		argv = append(argv, "-p", strconv.Itoa(c.Port))
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second) // Match exec may run anything
	defer cancel()
	cmd := exec.CommandContext(ctx, r.program, append(argv, "--", c.Host)...) //nolint:gosec // G204: the user's own host name, after --
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, "", fmt.Errorf("%s cannot be resolved for %s: %w: %s", r.origin, c.Host, err, strings.TrimSpace(strings.ReplaceAll(stderr.String(), wrapper, r.origin)))
	}
	found := settings{}
	for lines := bufio.NewScanner(&stdout); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		found[name] = append(found[name], value)
	}
	return found, unset, nil
}

// fill puts the file's settings where c has none.
func (r resolver) fill(ctx context.Context, c Config) (Config, error) {
	found, unset, err := r.ask(ctx, c)
	if err != nil {
		return c, err
	}
	origins := map[string]string{}
	for k, v := range c.Origins {
		origins[k] = v
	}
	c.Origins = origins
	note := func(attribute string) { origins[attribute] = r.origin }
	set := func(into *string, attribute, value string) {
		if *into == "" && value != "" && !strings.Contains(value, unset) {
			*into = value
			note(attribute)
		}
	}
	if command := found.one("proxycommand"); command != "" && command != "none" && len(c.Bastions) == 0 && c.ProxyURL == "" {
		return c, fmt.Errorf("%s sets ProxyCommand for %s, which is not supported: use ProxyJump there, or set bastions or proxy_url", r.origin, c.Host)
	}
	set(&c.User, "user", found.one("user"))
	if port, err := strconv.Atoi(found.one("port")); err == nil && c.Port == 0 && port != DefaultPort {
		c.Port = port
		note("port")
	}
	if name := found.one("hostname"); name != "" && name != c.Host {
		c.Host = name
		note("host")
	}
	set(&c.HostKeyAlias, "host_key_alias", found.one("hostkeyalias"))
	if strict := map[string]string{"true": StrictYes, "yes": StrictYes, "accept-new": StrictAcceptNew, "no": StrictNo, "false": StrictNo, "off": StrictNo}[found.one("stricthostkeychecking")]; strict != "" {
		set(&c.StrictHostKeyChecking, "strict_host_key_checking", strict)
	}
	if len(c.KnownHostsFiles) == 0 {
		users, system := found.one("userknownhostsfile"), found.one("globalknownhostsfile")
		if !strings.Contains(users, unset) || !strings.Contains(system, unset) {
			defaults := Config{}.withDefaults().KnownHostsFiles
			if strings.Contains(users, unset) {
				users = strings.Join(defaults[:2], " ")
			}
			if strings.Contains(system, unset) {
				system = defaults[2]
			}
			for _, file := range strings.Fields(users + " " + system) {
				if file != "none" {
					c.KnownHostsFiles = append(c.KnownHostsFiles, file)
				}
			}
			note("known_hosts_files")
		}
	}
	if seconds, err := strconv.Atoi(found.one("connecttimeout")); err == nil && seconds > 0 && c.ConnectTimeout == 0 {
		c.ConnectTimeout = time.Duration(seconds) * time.Second
		note("connect_timeout")
	}
	if seconds, err := strconv.Atoi(found.one("serveraliveinterval")); err == nil && seconds > 0 && c.KeepaliveInterval == 0 {
		c.KeepaliveInterval = time.Duration(seconds) * time.Second
		note("keepalive_interval")
	}
	switch socket := found.one("identityagent"); {
	case socket == "" || socket == "SSH_AUTH_SOCK" || c.Agent != nil:
	case socket == "none":
		off := false
		c.Agent = &off
		note("agent")
	default:
		if name, ok := strings.CutPrefix(socket, "$"); ok {
			socket = os.Getenv(name)
		}
		if socket, err = expandHome(socket); err != nil {
			return c, err
		}
		c.AgentSocket = socket
	}
	if c.PrivateKey == "" && c.PrivateKeyFile == "" {
		if err := r.identity(&c, found, unset); err != nil {
			return c, err
		}
	}
	if c.Certificate == "" {
		set(&c.CertificateFile, "certificate_file", found.one("certificatefile"))
	}
	return c, nil
}

// identity takes the first identity file that there is. As with OpenSSH, a key that only the agent can use (an encrypted
// one, one of which only the public half is there) is used through the agent.
func (r resolver) identity(c *Config, found settings, unset string) error {
	agent := c.Agent == nil || *c.Agent
	for _, name := range found["identityfile"] {
		if strings.Contains(name, unset) || name == "none" {
			continue
		}
		path, err := expandHome(name)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		public, publicErr := os.ReadFile(strings.TrimSuffix(path, ".pub") + ".pub")
		var locked *ssh.PassphraseMissingError
		switch _, keyErr := ssh.ParsePrivateKey(text); {
		case err != nil && publicErr != nil:
			continue // OpenSSH goes on to the next as well
		case keyErr == nil, errors.As(keyErr, &locked) && (c.PrivateKeyPassphrase != "" || !agent || publicErr != nil && locked.PublicKey == nil):
			c.PrivateKeyFile = path
			c.Origins["private_key_file"] = r.origin
		case c.AgentIdentity == "":
			if publicErr != nil && locked != nil {
				public = ssh.MarshalAuthorizedKey(locked.PublicKey)
			}
			c.AgentIdentity = strings.TrimSpace(string(public))
			c.Origins["agent_identity"] = r.origin
		}
		if c.PrivateKeyFile != "" && found.one("identitiesonly") == "yes" && c.Agent == nil {
			off := false
			c.Agent = &off
			c.Origins["agent"] = r.origin
		}
		return nil
	}
	return nil
}

// hops follows ProxyJump. The first hop may name some of its own; what is known of the way here holds for it as well.
func (r resolver) hops(ctx context.Context, given, target Config, depth int) ([]Config, error) {
	found, _, err := r.ask(ctx, given)
	if err != nil {
		return nil, err
	}
	jump := found.one("proxyjump")
	if jump == "" || jump == "none" {
		return nil, nil
	}
	if depth >= maxJumps {
		return nil, fmt.Errorf("%s leads through more than %d hops: does a ProxyJump lead back to itself?", r.origin, maxJumps)
	}
	var all []Config
	for i, text := range strings.Split(jump, ",") {
		hop, err := parseJump(text)
		if err != nil {
			return nil, fmt.Errorf("ProxyJump %s: %w", jump, err)
		}
		// As OpenSSH does: a hop has the settings that the file has for it, and nothing of the target's. What was
		// set outside of the file holds for all.
		if hop.User == "" && given.User != "" {
			hop.User = given.User
		}
		hop.KnownHostsFiles, hop.StrictHostKeyChecking, hop.ConnectTimeout = given.KnownHostsFiles, given.StrictHostKeyChecking, given.ConnectTimeout
		hop.PrivateKey, hop.PrivateKeyFile, hop.PrivateKeyPassphrase = given.PrivateKey, given.PrivateKeyFile, given.PrivateKeyPassphrase
		hop.Certificate, hop.CertificateFile, hop.Agent, hop.AgentIdentity = given.Certificate, given.CertificateFile, given.Agent, given.AgentIdentity
		filled, err := r.fill(ctx, hop)
		if err != nil {
			return nil, err
		}
		filled.KeepaliveInterval = cmp.Or(filled.KeepaliveInterval, target.KeepaliveInterval)
		if i == 0 {
			before, err := r.hops(ctx, hop, filled, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, before...)
		}
		all = append(all, filled)
	}
	return slices.Clip(all), nil
}

// parseJump reads [user@]host[:port], or an ssh:// URL.
func parseJump(text string) (Config, error) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "ssh://")
	var hop Config
	if at := strings.LastIndex(text, "@"); at >= 0 {
		hop.User, text = text[:at], text[at+1:]
	}
	hop.Host = strings.Trim(text, "[]")
	if host, port, err := net.SplitHostPort(text); err == nil {
		number, err := strconv.Atoi(port)
		if err != nil {
			return hop, fmt.Errorf("%q is no port", port)
		}
		hop.Host, hop.Port = host, number
	}
	return hop, nil
}
