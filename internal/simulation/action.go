package simulation

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// Invoke runs an action, such as rabbitmq_rolling_restart, as core does, and returns its progress.
func (tf *Terraform) Invoke(ctx context.Context, kind string, arguments map[string]any) (progress []string, err error) {
	ctx, p, err := tf.start(ctx)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	actions, ok := p.server.(tfprotov6.ActionServer)
	all, err := allSchemas()
	if err != nil || !ok || all.ActionSchemas[kind] == nil {
		return nil, fmt.Errorf("the provider has no action %s: %w", kind, err)
	}
	of := all.ActionSchemas[kind].Schema.ValueType()
	made, err := value(of, arguments)
	if err != nil {
		return nil, err
	}
	config, err := tfprotov6.NewDynamicValue(of, made)
	if err != nil {
		return nil, err
	}
	valid, err := ask(ctx, p, actions.ValidateActionConfig, &tfprotov6.ValidateActionConfigRequest{ActionType: kind, Config: &config})
	if err != nil {
		return nil, err
	}
	if failed := failures(kind, valid.Diagnostics); len(failed) > 0 {
		return nil, failed
	}
	ended, err := ask(ctx, p, func(ctx context.Context, request *tfprotov6.InvokeActionRequest) (*tfprotov6.CompletedInvokeActionEventType, error) {
		stream, err := actions.InvokeAction(ctx, request)
		if err != nil {
			return nil, err
		}
		end := &tfprotov6.CompletedInvokeActionEventType{}
		for event := range stream.Events {
			switch e := event.Type.(type) {
			case tfprotov6.ProgressInvokeActionEventType:
				progress = append(progress, e.Message)
			case tfprotov6.CompletedInvokeActionEventType:
				*end = e
			}
		}
		return end, nil
	}, &tfprotov6.InvokeActionRequest{ActionType: kind, Config: &config})
	if err != nil {
		return nil, err
	}
	if failed := failures(kind, ended.Diagnostics); len(failed) > 0 {
		return progress, failed
	}
	return progress, nil
}
