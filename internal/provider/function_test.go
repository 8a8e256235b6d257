package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// call runs a function of the provider on one string.
func call(t *testing.T, f function.Function, argument string, result attr.Value) (attr.Value, *function.FuncError) {
	t.Helper()
	resp := function.RunResponse{Result: function.NewResultData(result)}
	f.Run(t.Context(), function.RunRequest{Arguments: function.NewArgumentsData([]attr.Value{types.StringValue(argument)})}, &resp)
	return resp.Result.Value(), resp.Error
}

func TestCookieHashIsWhatRabbitMQPrints(t *testing.T) {
	// printf %s SECRETCOOKIE | openssl md5 -binary | base64
	for _, value := range []string{"SECRETCOOKIE", "SECRETCOOKIE\n"} {
		got, err := call(t, newCookieFunction(), value, types.StringUnknown())
		if err != nil || !got.Equal(types.StringValue("oZjAIAapRGyA/447ws/l9g==")) {
			t.Errorf("%q: %s (%v)", value, got, err)
		}
	}
	for _, value := range []string{"", "two words", strings.Repeat("A", 256), "ümlaut"} {
		_, err := call(t, newCookieFunction(), value, types.StringUnknown())
		if err == nil || value != "" && strings.Contains(err.Text, value) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestParseClusterStatusGivesNullForWhatIsNotTold(t *testing.T) {
	got, err := call(t, newStatusFunction(), "[{nodes,[{disc,[a@b]},{ram,[c@d]}]},{running_nodes,[a@b]}]", types.ObjectUnknown(parsedStatusTypes))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"alarms":[],"cluster_name":<null>,"feature_flags":<null>,"members":{` +
		`"a@b":{"erlang_version":<null>,"listeners":<null>,"maintenance":<null>,"running":true,"type":"disc","version":<null>},` +
		`"c@d":{"erlang_version":<null>,"listeners":<null>,"maintenance":<null>,"running":false,"type":"ram","version":<null>}},"partitions":{}}`
	if got.String() != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParseClusterStatusRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, text := range []string{"", "Error: unable to connect", `{"disk_nodes":["rabbit@a"],"running_nodes":"x"}`} {
		if got, err := call(t, newStatusFunction(), text, types.ObjectUnknown(parsedStatusTypes)); err == nil {
			t.Errorf("%q gave %s", text, got)
		}
	}
}
