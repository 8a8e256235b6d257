package simulation

import (
	"fmt"
	"math/big"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// value makes a Terraform value of a type from plain Go: what is left out is null.
func value(kind tftypes.Type, from any) (tftypes.Value, error) {
	if from == nil {
		return tftypes.NewValue(kind, nil), nil
	}
	switch t := kind.(type) {
	case tftypes.Object:
		given, ok := from.(map[string]any)
		if !ok {
			return tftypes.Value{}, fmt.Errorf("%T for an object", from)
		}
		for key := range given {
			if t.AttributeTypes[key] == nil {
				return tftypes.Value{}, fmt.Errorf("there is no attribute %s", key)
			}
		}
		all := map[string]tftypes.Value{}
		for key, element := range t.AttributeTypes {
			v, err := value(element, given[key])
			if err != nil {
				return v, fmt.Errorf("%s: %w", key, err)
			}
			all[key] = v
		}
		return tftypes.NewValue(kind, all), nil
	case tftypes.Map:
		given, ok := from.(map[string]any)
		if !ok {
			return tftypes.Value{}, fmt.Errorf("%T for a map", from)
		}
		all := map[string]tftypes.Value{}
		for key, element := range given {
			v, err := value(t.ElementType, element)
			if err != nil {
				return v, fmt.Errorf("%s: %w", key, err)
			}
			all[key] = v
		}
		return tftypes.NewValue(kind, all), nil
	case tftypes.List:
		given, ok := from.([]any)
		if !ok {
			return tftypes.Value{}, fmt.Errorf("%T for a list", from)
		}
		all := []tftypes.Value{}
		for _, element := range given {
			v, err := value(t.ElementType, element)
			if err != nil {
				return v, err
			}
			all = append(all, v)
		}
		return tftypes.NewValue(kind, all), nil
	}
	if n, ok := from.(int); ok {
		return tftypes.NewValue(kind, big.NewFloat(float64(n))), nil
	}
	return tftypes.NewValue(kind, from), nil
}

// plain makes plain Go from a Terraform value.
func plain(v tftypes.Value) any {
	if v.Type() == nil || v.IsNull() || !v.IsKnown() {
		return nil
	}
	var object map[string]tftypes.Value
	if v.As(&object) == nil {
		all := map[string]any{}
		for key, element := range object {
			all[key] = plain(element)
		}
		return all
	}
	var text string
	if v.As(&text) == nil {
		return text
	}
	var yes bool
	if v.As(&yes) == nil {
		return yes
	}
	var number big.Float
	if v.As(&number) == nil {
		f, _ := number.Float64()
		return f
	}
	return v.String()
}
