package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// lists checks whom the broker of a host counts as members. One that it does not see running is marked "(down)".
func (d *demo) lists(ctx context.Context, host string, want ...string) error {
	out, err := d.lab.Host(host).Rabbitmqctl(ctx, "-q", "cluster_status", "--formatter", "json")
	if err != nil {
		return err
	}
	var status struct {
		Disc    []string `json:"disk_nodes"`
		Running []string `json:"running_nodes"`
	}
	for line := range strings.Lines(out) { // log lines stand before and after it
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &status) == nil {
			break
		}
	}
	members := slices.Sorted(slices.Values(status.Disc))
	for i, node := range members {
		if !slices.Contains(status.Running, node) {
			members[i] += " (down)"
		}
	}
	if !slices.Equal(members, want) {
		return fmt.Errorf("rabbitmqctl cluster_status on %s lists %q and not %q:\n%s", host, members, want, out)
	}
	return nil
}

// areAlone checks that each broker is the only member of its cluster, and runs.
func (d *demo) areAlone(ctx context.Context) error {
	return d.onEach(func(host, node string) error { return d.lists(ctx, host, node) })
}

// areOneCluster checks that each broker counts all of them as running members.
func (d *demo) areOneCluster(ctx context.Context) error {
	var all []string
	for _, h := range d.lab.Hosts() {
		all = append(all, h.NodeName())
	}
	return d.onEach(func(host, _ string) error { return d.lists(ctx, host, all...) })
}

// onEach does something for all hosts at once.
func (d *demo) onEach(do func(host, node string) error) error {
	hosts := d.lab.Hosts()
	failed := make([]error, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() { failed[i] = do(h.Name(), h.NodeName()) })
	}
	all.Wait()
	return errors.Join(failed...)
}

// bold is how rabbitmqctl sets headings.
var bold = regexp.MustCompile("\x1b\\[[0-9;]*m")

// shortStatus takes the cluster's name and its members out of what `rabbitmqctl cluster_status` prints.
func shortStatus(text string) string {
	var short []string
	heading := false // the last line is one of the headings that count, and node names follow
	for line := range strings.Lines(bold.ReplaceAllString(text, "")) {
		switch line = strings.TrimSpace(line); {
		case line == "":
		case strings.HasPrefix(line, "Cluster name: "):
			short = append(short, line)
		case heading && strings.Contains(line, "@"):
			short[len(short)-1] += " " + line
		default:
			if heading = line == "Disk Nodes" || line == "Running Nodes"; heading {
				short = append(short, line+":")
			}
		}
	}
	return strings.Join(short, "\n")
}
