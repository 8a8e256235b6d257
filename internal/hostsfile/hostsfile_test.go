package hostsfile

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var entries = map[string]string{"rmq2": "10.0.0.12", "rmq1": "10.0.0.11"}

const block = "# BEGIN rabbitmq-topology orders (managed by Terraform)\n10.0.0.11 rmq1\n10.0.0.12 rmq2\n# END rabbitmq-topology orders\n"

func TestBlockComesAndGoesWithoutATraceInTheRest(t *testing.T) {
	for name, text := range map[string]string{
		"an ordinary file":        "127.0.0.1 localhost\n127.0.1.1 rmq1\n\n# end\n",
		"no newline at the end":   "127.0.0.1 localhost\n::1 localhost",
		"CRLF":                    "127.0.0.1 localhost\r\n::1 localhost\r\n",
		"CRLF, none at the end":   "127.0.0.1 localhost\r\n::1 localhost",
		"an empty file":           "",
		"only newlines":           "\n\n",
		"bytes that are no UTF-8": "127.0.0.1 localhost # caf\xe9\n",
		"another block of ours":   "# BEGIN rabbitmq-topology other (managed by Terraform)\n10.0.1.1 a\n# END rabbitmq-topology other\n127.0.0.1 localhost\n",
	} {
		with, err := Write(text, "orders", entries)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := block + text
		if strings.HasPrefix(name, "CRLF") {
			want = strings.ReplaceAll(block, "\n", "\r\n") + text
		}
		if with != want {
			t.Errorf("%s: %q", name, with)
		}
		if again, err := Write(with, "orders", entries); err != nil || again != with {
			t.Errorf("%s: written again: %q %v", name, again, err)
		}
		b, found, err := Read(with, "orders")
		if err != nil || !found || !maps.Equal(b.Entries, entries) || b.Content != Render(entries) || len(b.ShadowedBy) > 0 {
			t.Errorf("%s: reads %+v %t %v", name, b, found, err)
		}
		if without, err := Remove(with, "orders"); err != nil || without != text {
			t.Errorf("%s: without it %q, want %q, %v", name, without, text, err)
		}
	}
}

func TestBlockStaysWhereItStands(t *testing.T) {
	text := "127.0.0.1 localhost\n" + block + "# end"
	got, err := Write(text, "orders", map[string]string{"rmq1": "10.0.0.99"})
	if want := strings.Replace(text, "10.0.0.11 rmq1\n10.0.0.12 rmq2\n", "10.0.0.99 rmq1\n", 1); err != nil || got != want {
		t.Errorf("%q %v", got, err)
	}
}

func TestBlockMovesBeforeLinesThatWouldWin(t *testing.T) {
	text := "127.0.0.1 localhost\n127.0.1.1 rmq1.example.com RMQ1\n::1 rmq2\n" + block
	b, _, err := Read(text, "orders")
	if err != nil || !slices.Equal(b.ShadowedBy, []string{"127.0.1.1 rmq1.example.com RMQ1"}) {
		t.Fatalf("%+v %v", b, err)
	}
	got, err := Write(text, "orders", entries)
	if want := block + strings.TrimSuffix(text, block); err != nil || got != want {
		t.Errorf("%q %v", got, err)
	}
}

func TestForeignLinesWithinTheBlockAreSeen(t *testing.T) {
	text := strings.Replace(block, "10.0.0.12 rmq2\n", "# mine\n10.0.0.77 rmq2 rmq3\n10.0.0.12 rmq2\n", 1)
	b, _, err := Read(text, "orders")
	if want := map[string]string{"rmq1": "10.0.0.11", "rmq2": "10.0.0.77", "rmq3": "10.0.0.77"}; err != nil || !maps.Equal(b.Entries, want) || b.Content == Render(b.Entries) {
		t.Errorf("%+v %v", b, err)
	}
}

func TestDamagedMarkersAreRefused(t *testing.T) {
	begin, end := markers("orders")
	for name, text := range map[string]string{
		"no end":       begin + "\n10.0.0.11 rmq1\n",
		"no begin":     "10.0.0.11 rmq1\n" + end + "\n",
		"end first":    end + "\n" + begin + "\n",
		"twice":        block + block,
		"begin twice":  begin + "\n" + block,
		"blanks moved": "#  BEGIN rabbitmq-topology orders\n10.0.0.11 rmq1\n",
	} {
		_, _, err1 := Read(text, "orders")
		_, err2 := Write(text, "orders", entries)
		_, err3 := Remove(text, "orders")
		for _, err := range []error{err1, err2, err3} {
			var damaged *DamagedError
			if !errors.As(err, &damaged) || !strings.Contains(err.Error(), "line 1: #") && !strings.Contains(err.Error(), "line 2: #") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// Another block's damage is its own.
	if _, err := Write(begin+"\n", "shop", map[string]string{"a": "10.0.0.1"}); err != nil {
		t.Error(err)
	}
}

func TestTwoBlocksDoNotContradict(t *testing.T) {
	_, err := Write(block, "shop", map[string]string{"rmq1": "10.9.9.9"})
	var contested *ContestedError
	if !errors.As(err, &contested) || contested.Other != "orders" || contested.Line != "10.0.0.11 rmq1" {
		t.Errorf("%v", err)
	}
	if _, err := Write(block, "shop", map[string]string{"rmq1": "10.0.0.11", "rmq2": "fd00::12"}); err != nil {
		t.Errorf("the same address, and one of the other family: %v", err)
	}
}

func TestEntriesAreChecked(t *testing.T) {
	for _, bad := range [][2]string{{"", "10.0.0.1"}, {"a b", "10.0.0.1"}, {"a\n10.0.0.2 b", "10.0.0.1"}, {"#a", "10.0.0.1"}, {"a", "10.0.0"}, {"a", "10.0.0.1 b"}, {"a", "0.0.0.0"}, {"a", "::"}, {"a", "224.0.0.1"}, {"-a", "10.0.0.1"}} {
		if CheckEntry(bad[0], bad[1]) == nil {
			t.Errorf("%q is let in", bad)
		}
	}
	for _, good := range [][2]string{{"rmq1", "10.0.0.1"}, {"rmq1.example.com", "fd00::1"}, {"a", "127.0.0.1"}, {"rmq_1", "fe80::1%eth0"}} {
		if err := CheckEntry(good[0], good[1]); err != nil {
			t.Error(err)
		}
	}
	if CheckBlock("or ders") == nil || CheckBlock("") == nil || CheckBlock("orders-1.x") != nil {
		t.Error("names of blocks")
	}
}

// Whatever a hosts file holds, a block that was written is read back, and taken out without a trace.
func TestAnyFileComesBackByteForByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.OneOf(
			rapid.SampledFrom([]string{"127.0.0.1 localhost", "127.0.1.1 rmq1", "# a comment", "", "10.0.0.5\trmq2 # x", "# BEGIN rabbitmq-topology other (managed by Terraform)", "\xff"}),
			rapid.StringMatching(`[ #0-9a-z.\t\r]{0,20}`),
		)).Draw(t, "lines")
		text := strings.Join(lines, rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "eol")) + rapid.SampledFrom([]string{"", "\n", "\r\n"}).Draw(t, "end")
		with, err := Write(text, "orders", entries)
		var contested *ContestedError
		if errors.As(err, &contested) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if b, found, err := Read(with, "orders"); err != nil || !found || b.Content != Render(entries) || len(b.ShadowedBy) > 0 {
			t.Fatalf("%q reads %+v %v", with, b, err)
		}
		if without, err := Remove(with, "orders"); err != nil || without != text {
			t.Fatalf("%q became %q, %v", text, without, err)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(block, "orders")
	f.Add("# BEGIN rabbitmq-topology orders", "orders")
	f.Fuzz(func(t *testing.T, text, name string) {
		if CheckBlock(name) != nil {
			return
		}
		if _, found, err := Read(text, name); err != nil || !found {
			return
		}
		with, err := Write(text, name, entries)
		if err != nil {
			return
		}
		if b, found, err := Read(with, name); err != nil || !found || b.Content != Render(entries) {
			t.Errorf("%q reads %+v %v", with, b, err)
		}
	})
}
