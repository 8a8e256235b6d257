package cluster

import (
	"context"
	"fmt"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/rabbitmq"
)

// meet makes sure that two nodes find each other, and no third one, under the names by which they will connect: each is
// asked from the other's host, and the machine it runs on must be the one that its own host says.
func meet(ctx context.Context, one, other *rabbitmq.Node) error {
	for _, pair := range [][2]*rabbitmq.Node{{one, other}, {other, one}} {
		from, to := pair[0], pair[1]
		own, err := to.Status(ctx, rabbitmq.Ask{})
		if err != nil {
			return err
		}
		host := rabbitmq.HostPart(to.Name())
		seen, err := from.Through(to.Name()).Status(ctx, rabbitmq.Ask{})
		if err != nil {
			return fmt.Errorf("%s does not find %s by the name %s, so that the join was not tried. Check what `getent hosts %s` says there, and that ports 4369 and 25672 lead there: %w", from.Name(), to.Name(), host, host, err)
		}
		if seen.Boot != own.Boot {
			return fmt.Errorf("on the host of %s, the name %s leads to another machine than the one that %s runs on, where a node of that name runs too. The join was not tried: correct the line for %s in /etc/hosts there, or DNS", from.Name(), host, to.Name(), host)
		}
	}
	return nil
}
