package topology

import "fmt"

// Kind is what a step does.
type Kind string

// The kinds of steps, in the order in which a plan has them.
const (
	StartService Kind = "start service"
	StartApp     Kind = "start app"
	Await        Kind = "await"    // wait for a boot that is going on
	Reset        Kind = "reset"    // make a node blank that the cluster forgot and that does not know it
	Expel        Kind = "expel"    // forget a name whose host came back blank
	Join         Kind = "join"     //
	SetType      Kind = "type"     //
	Grow         Kind = "grow"     // give quorum queues and streams a replica on a member
	Forget       Kind = "forget"   // drop a member that does not run
	Leave        Kind = "leave"    // take a running member out and leave it blank and alone
	SetName      Kind = "set name" //
)

// Step is one change, named the same in the plan's warning, the log and the error.
type Step struct {
	Kind    Kind
	Node    string // whom it is about
	Via     string // the member that it is done through
	Type    Type   // Join, SetType
	Name    string // SetName
	Cluster string // the cluster's name for people
	// Loses is the data that the step destroys, in words; empty when it destroys nothing.
	Loses string
	// Dead tells that the node to forget cannot be made blank, because nothing of it runs.
	Dead bool
	// Queues is how many quorum queues and streams grow; 0 when it is not known yet.
	Queues int
	// Toll is the same in numbers, as what follows the step's own words: "its 2 vhosts, 14 queues, 1203 messages are lost".
	Toll string
	// Consent tells that the user lets data be lost.
	Consent bool
	// StayStopped leaves a node stopped after it left, because its own peer discovery would make it join again.
	StayStopped bool
	// Mute tells of a leave that the node's own host gave no answer: its peers see it run, and all is done from one of them.
	Mute bool
	// Unproved tells of a join that the two nodes resolve each other to addresses of which it cannot be told whose they
	// are, as behind NAT: whether they lead to the right machine is tried right before it.
	Unproved bool
}

// Starts tells whether the step only starts something: all such steps can be done side by side.
func (s Step) Starts() bool { return s.Kind == StartService || s.Kind == StartApp || s.Kind == Await }

// String says the step as a person would.
func (s Step) String() string {
	switch s.Kind {
	case StartService:
		return "start the service of " + s.Node
	case StartApp:
		return "start the application of " + s.Node
	case Await:
		return "wait for the boot of " + s.Node
	case Reset:
		return fmt.Sprintf("reset %s, which %s has forgotten", s.Node, s.Cluster)
	case Expel:
		return fmt.Sprintf("forget the old %s on %s, because its host is blank now", s.Node, s.Via)
	case Join:
		return fmt.Sprintf("join %s to %s as %s node through %s", s.Node, s.Cluster, s.Type, s.Via)
	case SetType:
		return fmt.Sprintf("make %s a %s node", s.Node, s.Type)
	case Grow:
		text := "grow the quorum queues and streams onto " + s.Node
		if s.Queues > 0 {
			text += fmt.Sprintf(" (replicas missing there: %d)", s.Queues)
		}
		return text
	case Forget:
		return fmt.Sprintf("forget %s, which does not run, on %s", s.Node, s.Via)
	case Leave:
		if s.StayStopped {
			return fmt.Sprintf("take %s out of %s through %s and leave it blank and stopped, because its own peer discovery would make it join again", s.Node, s.Cluster, s.Via)
		}
		return fmt.Sprintf("take %s out of %s through %s and leave it blank and alone", s.Node, s.Cluster, s.Via)
	case SetName:
		return fmt.Sprintf("name the cluster %q", s.Name)
	}
	return string(s.Kind) + " " + s.Node
}

// Foretell says the step with what it costs, in the plan and in the log alike.
func (s Step) Foretell() string {
	if s.Toll == "" {
		return s.String()
	}
	return s.String() + "; " + s.Toll
}

// Done tells whether the snapshot shows that the step took effect, on every side whose word is there.
func (s Step) Done(seen Snapshot) bool {
	own, via := seen[s.Node], seen[s.Via]
	switch s.Kind {
	case StartService, StartApp, Await:
		return own.State == Running
	case Reset:
		return len(own.Members) <= 1
	case Join:
		return own.State == Running && own.lists(s.Via) && via.lists(s.Node) && via.sees(s.Node) && own.sees(s.Via)
	case SetType:
		return own.State == Running && via.sees(s.Node) && via.Members[s.Node] == s.Type && own.Members[s.Node] == s.Type
	case Expel, Forget, Leave:
		return via.State == Running && !via.lists(s.Node)
	case Grow:
		return via.State == Running && via.Lacks[s.Node] == 0
	case SetName:
		return own.Name == s.Name
	}
	return false
}

// Later says what the operator must know beyond the step itself; empty when there is nothing.
func (s Step) Later() string {
	if s.Kind == Forget && s.Dead {
		return fmt.Sprintf("If the host of %s ever comes back with its old disk, its broker will not start: a node that was forgotten while it was down must lose its data directory first.", s.Node)
	}
	if s.Kind == Leave && s.Mute {
		return fmt.Sprintf("The host of %s gives no answer, and the others see the node run, so everything is done from %s. If the host is gone, they notice that within a minute and a half, and the node is forgotten then.", s.Node, s.Via)
	}
	return ""
}
