package simulation

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// What Terraform's core does with a configuration, and what it holds a provider to.

// propose merges configuration and prior state as core does: what the configuration leaves out and the provider computes
// stays as it was.
func propose(attributes []*tfprotov6.SchemaAttribute, kind tftypes.Type, prior, config tftypes.Value) (tftypes.Value, error) {
	var was, wanted map[string]tftypes.Value
	if err := config.As(&wanted); err != nil {
		return config, err
	}
	if !prior.IsNull() && prior.IsKnown() {
		if err := prior.As(&was); err != nil {
			return config, err
		}
	}
	merged := map[string]tftypes.Value{}
	for _, a := range attributes {
		c := wanted[a.Name]
		p, there := was[a.Name]
		merged[a.Name] = c
		switch {
		case a.WriteOnly: // it stands in the configuration alone
			merged[a.Name] = tftypes.NewValue(c.Type(), nil)
		case a.Computed && c.IsNull() && there:
			merged[a.Name] = p
		case a.NestedType == nil || c.IsNull() || !c.IsKnown():
		case a.NestedType.Nesting == tfprotov6.SchemaObjectNestingModeSingle:
			v, err := propose(a.NestedType.Attributes, c.Type(), orNull(p, c), c)
			if err != nil {
				return config, err
			}
			merged[a.Name] = v
		case a.NestedType.Nesting == tfprotov6.SchemaObjectNestingModeMap:
			var elements, before map[string]tftypes.Value
			if err := c.As(&elements); err != nil {
				return config, err
			}
			if there && !p.IsNull() && p.IsKnown() {
				if err := p.As(&before); err != nil {
					return config, err
				}
			}
			proposed := map[string]tftypes.Value{} // elements belongs to the configuration
			for key, element := range elements {
				v, err := propose(a.NestedType.Attributes, element.Type(), orNull(before[key], element), element)
				if err != nil {
					return config, err
				}
				proposed[key] = v
			}
			merged[a.Name] = tftypes.NewValue(c.Type(), proposed)
		}
	}
	return tftypes.NewValue(kind, merged), nil
}

func orNull(v, like tftypes.Value) tftypes.Value {
	if v.Type() == nil {
		return tftypes.NewValue(like.Type(), nil)
	}
	return v
}

// planValid holds a plan against the configuration: a provider may only decide what is computed and not set.
func planValid(attributes []*tfprotov6.SchemaAttribute, config, planned tftypes.Value, at string) error {
	var p, c map[string]tftypes.Value
	if config.IsNull() || !config.IsKnown() {
		return nil
	}
	if err := planned.As(&p); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if err := config.As(&c); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	for _, a := range attributes {
		here := at + "." + a.Name
		want, got := c[a.Name], p[a.Name]
		switch {
		case want.IsNull() && a.Computed, !want.IsKnown():
		case a.WriteOnly:
			if !got.IsNull() {
				return fmt.Errorf("%s: a write-only value was planned", here)
			}
		case a.NestedType != nil && !want.IsNull() && a.NestedType.Nesting == tfprotov6.SchemaObjectNestingModeMap:
			var wants, gots map[string]tftypes.Value
			if err := errors.Join(want.As(&wants), got.As(&gots)); err != nil {
				return fmt.Errorf("%s: %w", here, err)
			}
			if len(wants) != len(gots) {
				return fmt.Errorf("%s: %d elements were planned and %d configured", here, len(gots), len(wants))
			}
			for key := range wants {
				if _, there := gots[key]; !there {
					return fmt.Errorf("%s: element %s is missing in the plan", here, key)
				}
				if err := planValid(a.NestedType.Attributes, wants[key], gots[key], here+"."+key); err != nil {
					return err
				}
			}
		case a.NestedType != nil && !want.IsNull():
			if err := planValid(a.NestedType.Attributes, want, got, here); err != nil {
				return err
			}
		case !got.Equal(want):
			return fmt.Errorf("%s: %s was planned for %s", here, got, want)
		}
	}
	return nil
}

// compatible holds a result against its plan: whatever the plan knew must have come out.
func compatible(planned, result tftypes.Value, at string) error {
	if !planned.IsKnown() {
		return nil
	}
	if planned.IsNull() || result.IsNull() {
		if planned.IsNull() != result.IsNull() {
			return fmt.Errorf("%s: planned %s, got %s", at, planned, result)
		}
		return nil
	}
	var p, r map[string]tftypes.Value
	if planned.As(&p) == nil && result.As(&r) == nil {
		if len(p) != len(r) {
			return fmt.Errorf("%s: planned %v, got %v", at, slices.Sorted(maps.Keys(p)), slices.Sorted(maps.Keys(r)))
		}
		for key := range p {
			other, there := r[key]
			if !there {
				return fmt.Errorf("%s.%s is gone", at, key)
			}
			if err := compatible(p[key], other, at+"."+key); err != nil {
				return err
			}
		}
		return nil
	}
	if !planned.Equal(result) {
		return fmt.Errorf("%s: planned %s, got %s", at, planned, result)
	}
	return nil
}
