package remote

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/ssh/sshtest"
)

// shells are the login shells that accounts have.
var shells = []string{"bash", "dash", "fish", "tcsh", "zsh"}

// roundTrip has a shell run a quoted line and gives the arguments that arrived.
func roundTrip(t interface {
	Helper()
	Fatalf(string, ...any)
}, shell string, args []string) []string {
	t.Helper()
	line := Quote(append([]string{"printf", `%s\0`}, args...))
	cmd := exec.Command(shell, "-c", line)                      //nolint:gosec // G204: the point
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/proc/none"} // where no shell leaves files
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %q: %v: %s", shell, line, err, stderr.String())
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

func TestQuoteIsUnderstoodByEveryShell(t *testing.T) {
	everything := make([]byte, 255)
	for i := range everything {
		everything[i] = byte(i + 1)
	}
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			sshtest.Require(t, shell)
			for _, args := range [][]string{
				{"", "plain", "two words", "'", `"`, `\`, `\\`, `\'`, `'\''`, "$HOME", "$(id)", "`id`", "!", "!!", "a!b", `\!`, "*", "?", "~", "~root", "{a,b}", "[a]",
					"#", "-n", "--", "a=b", "%s", "%1", "^", "^a^b", "|", "&", ";", "<", ">", "(", ")", "@", "=ls", ":", ",", "\t", " ", "é", "日本", "\u2028"},
				{"a\nb"}, {"\n"}, {"\n\n", "'\n'", "!\n!", "\\\n", "$n\n"}, {"trailing\n"}, {"\r\n"}, {"a\rb"},
				{string(everything)}, {string(slices.DeleteFunc(slices.Clone(everything), func(b byte) bool { return b == '\n' }))},
				{"\xff\xfe", "caf\xe9"}, {"\uf600", "\ue000", "\U0010fffd"},
				{strings.Repeat(`'\!`, 1000)},
			} {
				if got := roundTrip(t, shell, args); !slices.Equal(got, args) {
					t.Errorf("%q arrived as %q", args, got)
				}
			}
		})
	}
}

func TestQuoteOfArbitraryArguments(t *testing.T) {
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			sshtest.Require(t, shell)
			rapid.Check(t, func(t *rapid.T) {
				word := rapid.OneOf(
					rapid.StringMatching(`[-'"\\!$\x60*?~{}\[\]#=%^|&;<>() \t\n\ra-c]{0,12}`),
					rapid.StringN(0, 8, -1),
					rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 12), func(b []byte) string { return string(b) }),
				).Filter(func(s string) bool { return !strings.Contains(s, "\x00") })
				args := rapid.SliceOfN(word, 12, 12).Draw(t, "args") // many at once: starting a shell is what takes time
				if got := roundTrip(t, shell, args); !slices.Equal(got, args) {
					t.Fatalf("%q arrived as %q", args, got)
				}
			})
		})
	}
}

func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "'", `\`, "!", "\n", `'\!` + "\n", "\xff", "$(id)"} {
		f.Add(seed, "x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.Contains(a+b, "\x00") {
			t.Skip("no argument holds NUL")
		}
		for _, shell := range shells {
			if _, err := exec.LookPath(shell); err != nil {
				continue
			}
			if got := roundTrip(t, shell, []string{a, b}); !slices.Equal(got, []string{a, b}) {
				t.Errorf("%s: %q %q arrived as %q", shell, a, b, got)
			}
		}
	})
}

// The scripts that travel on a command line must be readable to every login shell, tcsh above all.
func TestFixedScriptsAreOneLine(t *testing.T) {
	for _, script := range []string{writeFile, inPath, asRootLogin} {
		if strings.ContainsAny(script, "!\n") {
			t.Errorf("holds ! or a newline: %s", script)
		}
	}
}
