//go:build linux

package acceptance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// The guide's "Hostname Resolution": hosts that do not find each other, or find the wrong one, are refused before
// anything is touched, and rabbitmq_hosts_file mends it in the same apply.
func TestGuideHostnameResolution(t *testing.T) {
	full(t)
	rmq1, rmq2, rmq3 := blank(t)
	hosts := []*lab.Host{rmq1, rmq2, rmq3}
	w := newWorkspace(t)
	// The address of the other family is nobody's, so that every join tries first whether the nodes find each other.
	const plain = "127.0.0.1 localhost\r\n127.0.1.1 %s # as Debian's installer has it\r\nfd00:dead::1 rmq1\r\n# no newline at the end"
	for _, h := range hosts {
		if err := h.WriteFile("/etc/hosts", []byte(fmt.Sprintf(plain, h.Name())), 0o664, lab.User); err != nil {
			t.Fatal(err)
		}
	}
	members := func(hosts ...*lab.Host) string {
		return nodes(hosts...) + "resource \"rabbitmq_cluster\" \"orders\" {\n  members = local.nodes\n%s}\n"
	}
	block := func(attributes string) string {
		return fmt.Sprintf(`
resource "rabbitmq_hosts_file" "this" {
  for_each = local.nodes
  host     = each.value.host
  entries  = { for node, m in local.nodes : split("@", node)[1] => m.host }
  %s
}
`, attributes)
	}

	w.tell("a name that does not resolve is refused with the line that is missing", func(t *testing.T) {
		w.blocks(fmt.Sprintf(members(hosts...), ""))
		o := w.apply().fails("a host name does not resolve to the right host", "it cannot resolve rmq2, the host name of rabbit@rmq2",
			fmt.Sprintf("Add the line `%s rmq2` to /etc/hosts on the host of rabbit@rmq1", rmq2.Address()))
		if c := o.changes(); len(c) > 0 {
			t.Errorf("it ran %q", c)
		}
	})

	w.tell("so is one that leads back, or to a third host", func(t *testing.T) {
		text := "127.0.0.1 localhost rmq1\n" + rmq2.Address() + " rmq2\n" + rmq2.Address() + " rmq3\n"
		if err := rmq2.WriteFile("/etc/hosts", []byte(text), 0o644, "root"); err != nil {
			t.Fatal(err)
		}
		if err := rmq1.WriteFile("/etc/hosts", []byte(rmq1.Address()+" rmq1\n"+rmq3.Address()+" rmq2\n"+rmq3.Address()+" rmq3\n"), 0o644, "root"); err != nil {
			t.Fatal(err)
		}
		o := w.apply().fails("which is a loopback address and leads back to itself", "which is an address of the host of rabbit@rmq3")
		if c := o.changes(); len(c) > 0 {
			t.Errorf("it ran %q", c)
		}
		for _, h := range hosts {
			if err := h.WriteFile("/etc/hosts", []byte(fmt.Sprintf(plain, h.Name())), 0o664, lab.User); err != nil {
				t.Fatal(err)
			}
		}
	})

	w.tell("one that leads to nobody that is known is tried before anything is stopped", func(t *testing.T) {
		nobody := strings.Replace(rmq1.Address(), ".11", ".222", 1)
		text := func(first string) []byte {
			return []byte(first + " rmq1\n" + rmq2.Address() + " rmq2\n" + rmq3.Address() + " rmq3\n")
		}
		for h, first := range map[*lab.Host]string{rmq1: rmq1.Address(), rmq2: nobody, rmq3: rmq1.Address()} {
			if err := h.WriteFile("/etc/hosts", text(first), 0o644, "root"); err != nil {
				t.Fatal(err)
			}
		}
		o := w.apply().fails("rabbit@rmq2 does not find rabbit@rmq1 by the name rmq1, so that the join was not tried")
		if c := o.changes(); len(c) > 0 {
			t.Errorf("it ran %q", c)
		}
		for _, h := range hosts {
			if err := h.WriteFile("/etc/hosts", []byte(fmt.Sprintf(plain, h.Name())), 0o664, lab.User); err != nil {
				t.Fatal(err)
			}
		}
	})

	depends := "  depends_on = [rabbitmq_hosts_file.this]\n"
	w.tell("a block in each hosts file mends it in the same apply", func(t *testing.T) {
		w.blocks(fmt.Sprintf(members(hosts...), depends) + block(""))
		w.planShows("Not ready yet to change the cluster", "a host name does not resolve")
		w.mustApply()
		areOneCluster(t, hosts...)
		for _, h := range hosts {
			want := strings.ReplaceAll(fmt.Sprintf("# BEGIN rabbitmq-topology default (managed by Terraform)\n%s rmq1\n%s rmq2\n%s rmq3\n# END rabbitmq-topology default\n", rmq1.Address(), rmq2.Address(), rmq3.Address()), "\n", "\r\n") + fmt.Sprintf(plain, h.Name())
			hostsFileIs(t, h, want)
			// Its own name has Debian's line too, and Debian's resolver takes all of them (multi on).
			if got := on(t, h, "getent", "ahostsv4", h.Name()); !strings.Contains(got, h.Address()) {
				t.Errorf("%s resolves itself to %q", h.Name(), got)
			}
		}
		w.planIsEmpty()
	})

	w.tell("what somebody does to the block, or before it, is drift", func(t *testing.T) {
		on(t, rmq1, "sed", "-i", "s/^.* rmq2/10.9.9.9 rmq2/", "/etc/hosts")
		on(t, rmq2, "sed", "-i", "1i 10.8.8.8 rmq3", "/etc/hosts")
		on(t, rmq3, "sed", "-i", "/BEGIN rabbitmq-topology/,/END rabbitmq-topology/d", "/etc/hosts")
		w.planShows("10.9.9.9", `"10.8.8.8 rmq3"`, "1 to add, 2 to change, 0 to destroy")
		w.mustApplyPlan()
		w.planIsEmpty()
		for _, h := range hosts {
			if got := on(t, h, "getent", "ahostsv4", "rmq3"); !strings.Contains(got, rmq3.Address()) {
				t.Errorf("%s resolves rmq3 to %q", h.Name(), got)
			}
		}
	})

	w.tell("a damaged marker is an error, and nothing is written", func(t *testing.T) {
		good, err := rmq1.ReadFile("/etc/hosts")
		if err != nil {
			t.Fatal(err)
		}
		on(t, rmq1, "sed", "-i", "/END rabbitmq-topology/d", "/etc/hosts")
		was := on(t, rmq1, "cat", "/etc/hosts")
		w.plan().fails("Unable to read /etc/hosts of host "+rmq1.Address(), "the markers of block default are damaged", "line 1: # BEGIN rabbitmq-topology default")
		hostsFileIs(t, rmq1, was)
		if err := rmq1.WriteFile("/etc/hosts", good, 0o664, lab.User); err != nil {
			t.Fatal(err)
		}
		w.planIsEmpty()
	})

	w.tell("a second block has a life of its own, and may not contradict", func(*testing.T) {
		second := func(address string) string {
			return fmt.Sprintf("resource \"rabbitmq_hosts_file\" \"second\" {\n  host    = %q\n  name    = \"shop\"\n  entries = { \"rmq1\" = %q, \"db1\" = \"10.1.1.1\" }\n}\n", rmq2.Address(), address)
		}
		w.blocks(fmt.Sprintf(members(hosts...), depends) + block("") + second("10.7.7.7"))
		w.apply().fails("block default says `"+rmq1.Address()+" rmq1`", "Let one configuration own the name")
		w.blocks(fmt.Sprintf(members(hosts...), depends) + block("") + second(rmq1.Address()))
		w.mustApply()
		w.planIsEmpty()
	})

	w.tell("it is imported", func(t *testing.T) {
		one := newWorkspace(t)
		one.blocks(fmt.Sprintf("import {\n  to = rabbitmq_hosts_file.shop\n  id = \"%[1]s,shop\"\n}\nresource \"rabbitmq_hosts_file\" \"shop\" {\n  host    = %[1]q\n  name    = \"shop\"\n  entries = { \"rmq1\" = %[2]q, \"db1\" = \"10.1.1.1\" }\n}\n", rmq2.Address(), rmq1.Address()))
		one.plan().shows("Plan: 1 to import, 0 to add, 0 to change, 0 to destroy")
	})

	w.tell("the file of a symbolic link is written, and not the link", func(t *testing.T) {
		on(t, rmq3, "sh", "-c", "mv /etc/hosts /etc/hosts.real && ln -s hosts.real /etc/hosts")
		on(t, rmq3, "sed", "-i", "/^10/s/ rmq1/ rmq9/", "/etc/hosts.real")
		w.mustApply()
		if got := on(t, rmq3, "readlink", "/etc/hosts"); got != "hosts.real\n" {
			t.Errorf("the link is %q", got)
		}
		w.planIsEmpty()
		on(t, rmq3, "mv", "/etc/hosts.real", "/etc/hosts")
	})

	w.tell("a destroy gives every file back as it was", func(t *testing.T) {
		w.mustDestroy()
		areAlone(t, hosts...)
		hostsFileIs(t, rmq1, fmt.Sprintf(plain, rmq1.Name()))
		hostsFileIs(t, rmq3, fmt.Sprintf(plain, rmq3.Name()))
	})
}

// hostsFileIs checks the hosts file to the byte, and that it kept its mode and owner.
func hostsFileIs(t *testing.T, h *lab.Host, want string) {
	t.Helper()
	got, err := h.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s has %q, want %q", h.Name(), got, want)
	}
	if is := on(t, h, "stat", "-c", "%a %U", "/etc/hosts"); is != "664 "+lab.User+"\n" {
		t.Errorf("%s: mode and owner are %s", h.Name(), is)
	}
}
