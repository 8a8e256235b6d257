package rabbitmq

import (
	"encoding/json"
	"fmt"
	"testing"
)

// BenchmarkParseOf300Members reads the probe's answer of a member of a large cluster.
func BenchmarkParseOf300Members(b *testing.B) {
	s := Status{Node: "rabbit@rmq000", Running: true, Store: Mnesia, Version: "3.10.8"}
	for i := range 300 {
		node := fmt.Sprintf("rabbit@rmq%03d", i)
		s.Disc, s.RunningNodes = append(s.Disc, node), append(s.RunningNodes, node)
	}
	payload, err := json.Marshal(s)
	if err != nil {
		b.Fatal(err)
	}
	output := []byte("12:00:00.000 [warning] {noise}\n" + marker + string(payload) + "\nok\n")
	b.SetBytes(int64(len(output)))
	for b.Loop() {
		if read, err := parseProbe(output); err != nil || len(read.Disc) != 300 {
			b.Fatal(len(read.Disc), err)
		}
	}
}
