//go:build linux

package acceptance

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq-topology/terraform-provider-rabbitmq/internal/lab"
)

// That a secret leaves no trace: in process lists, logs, plans and state.

// processesOf samples the processes on the hosts, with their arguments and environments, until ctx ends.
func processesOf(ctx context.Context, hosts []*lab.Host) string {
	var all strings.Builder
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, h := range hosts {
			if out, err := h.Run(ctx, "ps", "axeww"); err == nil {
				all.WriteString(out)
			}
		}
		select {
		case <-ctx.Done():
			return all.String()
		case <-tick.C:
		}
	}
}

// leaks counts a cookie in a text, as it is and as programs like to write bytes.
func leaks(text, cookie string) int {
	n := 0
	for _, form := range []string{
		cookie[:20], // without the characters that are written differently in JSON
		base64.StdEncoding.EncodeToString([]byte(cookie))[:20],
		hex.EncodeToString([]byte(cookie)),
	} {
		n += strings.Count(text, form)
	}
	return n
}

// isSecret checks that no file of the workspace has the cookie in it: states, plans, logs. The search must find what is
// known to be in some of them, or it would prove nothing.
func (w *workspace) isSecret(cookie string, known map[string]string) {
	w.t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		texts[path] = string(text)
		if z, zerr := zip.NewReader(bytes.NewReader(text), int64(len(text))); zerr == nil { // a plan
			for _, f := range z.File {
				texts[path+"/"+f.Name] = unzip(w.t, f)
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for path, text := range texts {
		if n := leaks(text, cookie); n > 0 {
			w.t.Errorf("%s has the cookie %d times", path, n)
		}
	}
	for path, text := range known {
		if !strings.Contains(texts[filepath.Join(w.dir, path)], text) {
			w.t.Errorf("%s does not have %q in it, which it must", path, text)
		}
	}
}

// shownAsJSON puts what the CLI tells machines about a plan or a state beside it.
func (w *workspace) shownAsJSON(file string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), runTimeout)
	defer cancel()
	cmd, _ := w.command(ctx, "show", "-json", file)
	out, err := cmd.Output()
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, file+".json"), out, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func unzip(t *testing.T, f *zip.File) string {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// traced runs what do runs with all logs as chatty as can be.
func (w *workspace) traced(do func()) {
	env := w.env
	defer func() { w.env = env }()
	w.env = append(slices.Clone(env), "TF_LOG=TRACE", "TF_LOG_PROVIDER=TRACE")
	do()
}
