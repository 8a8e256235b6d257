package provider

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh"
)

// sshConfigs remembers what an ssh_config_file says of hosts: it is asked anew for every operation of every resource,
// and each answer costs a process.
type sshConfigs struct {
	mu    sync.Mutex
	known map[string]resolved
}

type resolved struct {
	config ssh.Config
	err    error
}

// fill puts the file's settings under those there are.
func (c *sshConfigs) fill(s sshSettings) (sshSettings, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, err := json.Marshal(s.Config) // without secrets, which belong to the profile
	if err != nil {
		return s, err
	}
	key := s.ConfigFile + "\x00" + s.Profile + "\x00" + string(text)
	found, known := c.known[key]
	if !known {
		found.config, found.err = ssh.FillFromFile(context.Background(), s.ConfigFile, s.Config)
		if c.known == nil {
			c.known = map[string]resolved{}
		}
		c.known[key] = found
	}
	s.Config = found.config
	return s, found.err
}
