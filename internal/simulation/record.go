package simulation

import (
	"embed"
	"strconv"
	"strings"
)

// testdata holds, byte for byte, what real brokers of each version printed and with which exit code they ended.
//
//go:embed testdata
var records embed.FS

// reply is what a command leaves behind.
type reply struct {
	code     int
	out, err string
}

// say gives the record of a case, with names put in the place of those that it was taken with.
func (v Version) say(name string, names ...string) reply {
	read := func(part string) string {
		text, err := records.ReadFile("testdata/" + v.Records + "/" + name + "." + part)
		if err != nil {
			return ""
		}
		return string(text)
	}
	code, err := strconv.Atoi(strings.TrimSpace(read("rc")))
	if err != nil {
		panic("no record of " + name + " on " + v.String())
	}
	// In one pass, so that names can change places.
	swap := strings.NewReplacer(names...)
	return reply{code: code, out: swap.Replace(read("stdout")), err: swap.Replace(read("stderr"))}
}

func (b *Broker) say(name string, names ...string) reply { return b.version.say(name, names...) }

// withoutStop leaves out the heading of a stop_app that the record ran first.
func (r reply) withoutStop() reply {
	if strings.HasPrefix(r.out, "Stopping rabbit application") {
		_, r.out, _ = strings.Cut(r.out, "\n")
	}
	return r
}

// until leaves out what a command printed that the record ran afterwards.
func (r reply) until(heading string) reply {
	if i := strings.Index(r.out, heading); i >= 0 {
		r.out = r.out[:i]
	}
	return r
}
