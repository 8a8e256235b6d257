package rabbitmq

import (
	"fmt"
	"regexp"
	"strings"
)

// nodeName is what rabbitmqctl and the Erlang distribution accept as name@host. It leaves out every character that a
// shell or an Erlang term could read as anything but itself.
var nodeName = regexp.MustCompile(`^([A-Za-z0-9_-]+)@([A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)$`)

// maxNodeName is the longest atom that Erlang allows, in characters.
const maxNodeName = 255

// CheckNodeName says in a sentence why name is no Erlang node name, or returns nil.
func CheckNodeName(name string) error {
	switch {
	case !strings.Contains(name, "@"):
		return fmt.Errorf("%q is not an Erlang node name: it has no @. A node name is NAME@HOST, such as rabbit@rmq1; `rabbitmqctl eval 'node().'` on the host prints it", name)
	case len(name) > maxNodeName:
		return fmt.Errorf("%q is not an Erlang node name: it is longer than %d characters", name, maxNodeName)
	case !nodeName.MatchString(name):
		return fmt.Errorf("%q is not an Erlang node name: NAME@HOST takes letters, digits, underscore and hyphen in NAME, and a host name after the @", name)
	}
	return nil
}

// HostPart returns what stands after the @ of a node name: the name under which other nodes look its host up.
func HostPart(node string) string {
	_, host, _ := strings.Cut(node, "@")
	return host
}

// LongName tells whether a node has a long name, in Erlang's sense: exactly those have a dot after the @.
func LongName(node string) bool { return strings.Contains(HostPart(node), ".") }
