package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/topology"
)

// ForceBootError says why a boot was not forced, or that it could not be.
type ForceBootError struct{ Node, Why, Next string }

// Error implements error.
func (e *ForceBootError) Error() string {
	return fmt.Sprintf("the boot of %s was not forced: %s. %s", e.Node, e.Why, e.Next)
}

// ForceBoot starts a node of a cluster that stopped as a whole without waiting for the members that stopped after it.
// What those know and this one does not is lost to it, so that every other way comes first: it refuses while a member
// runs, while one cannot be asked that is not named as lost, and while one that is there could be started instead unless
// loss is allowed.
func (f *Fleet) ForceBoot(ctx context.Context, name string, lost []string, allowLoss bool) error {
	seen, err := f.quietly(ctx, rabbitmq.Ask{}, nil)
	if err != nil {
		return err
	}
	mine, err := f.lock(ctx, seen)
	if err != nil {
		return err
	}
	defer mine.release()
	defer f.Memory.forget()
	if seen, err = f.quietly(ctx, rabbitmq.Ask{}, nil); err != nil {
		return err
	}
	if err := mayForce(seen, name, lost, allowLoss); err != nil {
		return err
	}
	node, err := f.node(name)
	if err != nil {
		return err
	}
	if err := f.onMnesia(ctx, node, seen[name]); err != nil {
		return err
	}
	if seen[name].State != topology.Down {
		f.Report(ctx, name+": stopping its service, which waits for its peers")
		if err := node.StopService(ctx); err != nil {
			return err
		}
	}
	f.Report(ctx, name+": telling it to wait for nobody at its next start")
	if err := node.ForceBoot(ctx); err != nil {
		if strings.Contains(err.Error(), "mnesia_dir_not_found") {
			// Debian's 3.8.9 (measured): rabbitmqctl looks for the data directory without the settings that say where it is.
			return &ForceBootError{name, "this version's `rabbitmqctl force_boot` does not find the data directory (mnesia_dir_not_found), although it is there",
				"Make an empty file force_load in it as the broker's account (`sudo -u rabbitmq touch /var/lib/rabbitmq/mnesia/" + name + "/force_load`), which is all that the command does, and start the service"}
		}
		return err
	}
	f.Report(ctx, name+": starting its service")
	if err := f.startService(ctx, node); err != nil {
		return err
	}
	status, err := node.Status(ctx, rabbitmq.Ask{})
	if err != nil {
		return err
	}
	if !status.Running {
		return fmt.Errorf("%s was told to start without its peers, and does not run", name)
	}
	members := status.Members()
	slices.Sort(members)
	f.Report(ctx, fmt.Sprintf("%s runs. It lists %s as members: start the others now, and take those out that are gone for good", name, strings.Join(members, ", ")))
	return nil
}

// mayForce refuses what would do harm.
func mayForce(seen topology.Snapshot, name string, lost []string, allowLoss bool) error {
	own := seen[name]
	switch own.State {
	case topology.Unreachable, topology.Failed:
		return &ForceBootError{name, "its host or node cannot be read: " + own.Why, "Mend that first."}
	case topology.Running:
		return &ForceBootError{name, "it runs", "There is nothing to force."}
	}
	for _, other := range sortedNames(seen) {
		v := seen[other]
		if other == name || slices.Contains(lost, other) && v.State == topology.Unreachable {
			continue
		}
		switch v.State {
		case topology.Running:
			return &ForceBootError{name, other + " runs", "Start the service of " + name + " as usual: it waits for nobody else then. Forced, it would come up with what it last knew, beside a cluster that went on."}
		case topology.Unreachable, topology.Failed:
			return &ForceBootError{name, fmt.Sprintf("%s cannot be asked, and may run: %s", other, v.Why), "Bring its host back, or name it in `lost` when it is gone for good."}
		}
		if !allowLoss {
			return &ForceBootError{name, other + " is there and can be started, and may know what " + name + " does not",
				"Start all members at once instead (`systemctl start rabbitmq-server` on each, or an apply of rabbitmq_cluster): none has to be forced and nothing is lost. Set allow_data_loss = true when that was tried and failed."}
		}
	}
	return nil
}

// onMnesia refuses where forcing has no effect: with Khepri the command succeeds and the node goes on waiting for a
// majority (measured on 4.3.6).
func (f *Fleet) onMnesia(ctx context.Context, node *rabbitmq.Node, seen topology.View) error {
	khepri := seen.Khepri && seen.State != topology.Down
	if !khepri {
		version, err := node.CLIVersion(ctx)
		if err != nil {
			return err
		}
		flagged, err := node.RemembersKhepri(ctx)
		if err != nil {
			return err
		}
		khepri = flagged || rabbitmq.OnlyKhepri(version)
	}
	if khepri {
		return &ForceBootError{node.Name(), "its metadata store is Khepri, on which force_boot has no effect: the command succeeds, and the node still waits for a majority of the members",
			"Start more than half of the members; each finishes its boot as soon as they see each other. When more than half are gone for good, `rabbitmqctl force_standalone_khepri_boot` while the node is booting makes a cluster of it alone."}
	}
	return nil
}
