package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
)

// The framework hands the session over to each kind in a way of its own. Whoever needs it embeds the one for its kind.

type (
	resourceSession  struct{ session *session } // for list resources as well
	dataSession      struct{ session *session }
	ephemeralSession struct{ session *session }
	actionSession    struct{ session *session }
)

// Configure implements resource.ResourceWithConfigure.
func (s *resourceSession) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	s.session = sessionOf(req.ProviderData, &resp.Diagnostics)
}

// Configure implements datasource.DataSourceWithConfigure.
func (s *dataSession) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	s.session = sessionOf(req.ProviderData, &resp.Diagnostics)
}

// Configure implements ephemeral.EphemeralResourceWithConfigure.
func (s *ephemeralSession) Configure(_ context.Context, req ephemeral.ConfigureRequest, resp *ephemeral.ConfigureResponse) {
	s.session = sessionOf(req.ProviderData, &resp.Diagnostics)
}

// Configure implements action.ActionWithConfigure.
func (s *actionSession) Configure(_ context.Context, req action.ConfigureRequest, resp *action.ConfigureResponse) {
	s.session = sessionOf(req.ProviderData, &resp.Diagnostics)
}

// Defaults of timeouts.
const (
	changeTimeout = 20 * time.Minute
	readTimeout   = 2 * time.Minute
)

// bound gives a context that ends after what a resource's timeouts say for what is being done.
func bound(ctx context.Context, timeout func(context.Context, time.Duration) (time.Duration, diag.Diagnostics), diags *diagnostics) (context.Context, context.CancelFunc) {
	longest, problems := timeout(ctx, changeTimeout)
	diags.Append(problems...)
	return context.WithTimeoutCause(ctx, longest, &timeUpError{longest})
}

// timeUpError is the cause of a context that a resource's timeouts have ended.
type timeUpError struct{ after time.Duration }

// Error implements error.
func (e *timeUpError) Error() string {
	return fmt.Sprintf("the time for it is up, which is %s (timeouts)", e.after)
}

// Unwrap makes it a deadline as any other.
func (*timeUpError) Unwrap() error { return context.DeadlineExceeded }

const notKnownYet = "The provider's configuration is not known yet, so that no host can be reached."

// unreached tells whether no host can be reached yet, and then says that a resource is kept as it was.
func (s *session) unreached(what string, diags *diagnostics) bool {
	if s.unknown {
		diags.AddWarning("The "+what+" was not read", notKnownYet+" The state is kept as it was.")
	}
	return s.unknown
}

// unreachedData is unreached for data sources, which have nothing to keep.
func (s *session) unreachedData(what string, at path.Path, diags *diagnostics) bool {
	if s.unknown {
		diags.AddAttributeError(at, "The "+what+" cannot be read yet", notKnownYet)
	}
	return s.unknown
}

// checkSettings finds settings of a host that no connection can be made with, before any is tried.
func (s *session) checkSettings(h host, at path.Path, diags *diagnostics) bool {
	_, err := s.settings(h)
	if err != nil {
		diags.AddAttributeError(at, "Invalid connection settings", err.Error())
	}
	return err == nil
}
